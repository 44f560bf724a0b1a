package stats

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A value is one cell of "show info" or "show stat". The zero value is an
// absent cell.
type value struct {
	kind string // "str", "s32", "u32", "u64" or "flt"
	num  int64
	text string // of "str" and "flt"
}

func u32(n int64) value { return value{kind: "u32", num: n} }
func u64(n int64) value { return value{kind: "u64", num: n} }
func s32(n int64) value { return value{kind: "s32", num: n} }

// str is a text; bytes that would break a line become blanks.
func str(s string) value {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return value{kind: "str", text: s}
}

// flt is a number with a fraction, without the zeros at its end.
func flt(f float64) value {
	s := strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0")
	return value{kind: "flt", text: strings.TrimSuffix(s, ".")}
}

func (v value) String() string {
	if v.kind == "str" || v.kind == "flt" || v.kind == "" {
		return v.text
	}
	return strconv.FormatInt(v.num, 10)
}

// csv is the value as a cell: a text is quoted if it would be more than one.
func (v value) csv() string {
	s := v.String()
	if v.kind == "str" && strings.ContainsAny(s, `,"`) {
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// json is the value as a JSON value.
func (v value) json() string {
	if v.kind != "str" {
		return v.String()
	}
	b, _ := json.Marshal(v.text) // a string always has a JSON form
	return string(b)
}

// tagWords are the long names of the tag letters: origin, nature and scope.
var tagWords = [3]map[byte]string{
	{'M': "Metric", 'S': "Status", 'K': "Key", 'C': "Config", 'P': "Product"},
	{'G': "Gauge", 'L': "Limit", 'm': "Min", 'M': "Max", 'R': "Rate", 'C': "Counter", 'D': "Duration",
		'A': "Age", 'T': "Time", 'N': "Name", 'O': "Output", 'a': "Avg"},
	{'C': "Cluster", 'P': "Process", 'S': "Service", 's': "System"},
}

// typedTags are the tag letters of typed output. The fourth says that no value
// outlives the process.
func typedTags(tags string) string { return tags + "V" }

func jsonTags(tags string) string {
	return fmt.Sprintf(`"tags":{"origin":"%s","nature":"%s","scope":"%s"}`,
		tagWords[0][tags[0]], tagWords[1][tags[1]], tagWords[2][tags[2]])
}

// A format is how "show info" and "show stat" print: the words of the command.
type format struct {
	typed, json, desc, float bool
}

// word takes one word of the command and reports whether it was one of ours.
func (f *format) word(w string) bool {
	switch w {
	case "typed":
		f.typed = true
	case "json":
		f.json = true
	case "desc":
		f.desc = true
	case "float":
		f.float = true
	default:
		return false
	}
	return true
}

// describe is the description behind a value, if it was asked for.
func (f format) describe(desc string) string {
	if !f.desc {
		return ""
	}
	return `:"` + desc + `"`
}
