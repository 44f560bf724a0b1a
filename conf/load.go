package conf

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"
)

// Load reads the file and checks it, and the files it names. If it could be
// read and is wrong, the error is a [Faults].
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("conf: %w", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("conf: getrlimit: %w", err)
	}
	const unlimited = 1 << 40 // "no limit" is the greatest number there is
	return load(path, string(src), host{now: time.Now(), descriptors: int(min(limit.Cur, unlimited))})
}

// load is Load with everything given; file names the source.
func load(file, src string, h host) (*Config, error) {
	var doc map[string]any
	if _, err := toml.Decode(src, &doc); err != nil {
		return nil, Faults{syntaxFault(file, err)}
	}
	r := &report{file: file, at: scanPositions(src), faulty: map[string]bool{}}
	c := defaultConfig()
	r.table(place{}, doc, reflect.ValueOf(c).Elem())
	r.imply(c)
	r.check(c, h)
	if len(r.faults) > 0 {
		return nil, sorted(r.faults)
	}
	c.Warnings, c.source = sorted(r.warnings), r
	return c, nil
}

// syntaxFault is what the library says of a text that is no TOML.
func syntaxFault(file string, err error) Fault {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return Fault{File: file, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	return Fault{File: file, Line: parse.Position.Line, Path: parse.LastKey, Text: strings.TrimSuffix(parse.Message, ".")}
}
