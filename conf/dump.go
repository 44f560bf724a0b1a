package conf

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"imaplb/peers"
)

// Dump writes the whole configuration, defaults included, as a file that loads
// to the same Config. The error is w's.
func (c *Config) Dump(w io.Writer) error {
	var b strings.Builder
	dumpTable(&b, "", reflect.ValueOf(*c))
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// dumpTable writes the keys of a struct and then the tables below it.
func dumpTable(b *strings.Builder, path string, v reflect.Value) {
	var below []field
	if path != "" {
		fmt.Fprintf(b, "\n[%s]\n", path)
	}
	for _, f := range fields(v) {
		slice := f.value.Kind() == reflect.Slice
		if f.value.Kind() == reflect.Struct || slice && isKeyed(f.value.Type().Elem()) {
			below = append(below, f)
			continue
		}
		fmt.Fprintf(b, "%s = %s\n", f.key, dumpValue(f.value))
	}
	for _, f := range below {
		at := keyPath(path, f.key)
		if p, ok := f.value.Interface().(peers.Config); ok && p.Bind == "" {
			continue // a section that is there means that there are peers
		}
		if f.value.Kind() == reflect.Struct {
			dumpTable(b, at, f.value)
			continue
		}
		for i := range f.value.Len() {
			element := f.value.Index(i)
			dumpTable(b, keyPath(at, element.FieldByName("Name").String()), element)
		}
	}
}

// dumpValue is a value as the file spells it.
func dumpValue(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		return `"` + formatDuration(d) + `"`
	}
	switch v.Kind() {
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.String:
		return quote(v.String())
	case reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = dumpValue(v.Index(i))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	var pairs []string
	for _, f := range fields(v) {
		pairs = append(pairs, f.key+" = "+dumpValue(f.value))
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// quote is a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
