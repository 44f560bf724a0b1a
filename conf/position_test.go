package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// odd holds every way to write a key, and every value that could be taken for
// one.
const odd = `# comment with [brackets] = "and more"
top = 1
[ a . "b.c" . 'd' ] # header with blanks and quotes
x = """
[not.a.section]
y = 1 \""" still inside
"""""
y = '''
z = 1
''''
"quoted \u0041\" key" = 'C:\' # a backslash ends nothing
z.w . v = [ # dotted
  "]", # comment ] in an array
  { p = 1, 'q r' = [2, 3] },
  [ [ 4 ], ],
]
after = 1979-05-27T07:32:00Z
[[t]]
n = 1
[t.sub]
n = 2
[[t]]
n = 3
[t.sub]
n = 4
[[t.list]]
[[t.list]]
deep = {a.b = {c = 1}}
[late]` + "\r\nkey = true\r\n  indented=1"

func TestPositionsOfOddKeys(t *testing.T) {
	if _, err := toml.Decode(odd, &map[string]any{}); err != nil {
		t.Fatalf("the sample is no TOML: %v", err)
	}
	want := map[string]int{
		`top`: 2, `a`: 3, `a."b.c"`: 3, `a."b.c".d`: 3, `a."b.c".d.x`: 4, `a."b.c".d.y`: 8,
		`a."b.c".d."quoted A\" key"`: 11,
		`a."b.c".d.z`:                12, `a."b.c".d.z.w`: 12, `a."b.c".d.z.w.v`: 12,
		`a."b.c".d.z.w.v[0]`: 13, `a."b.c".d.z.w.v[1]`: 14, `a."b.c".d.z.w.v[1].p`: 14,
		`a."b.c".d.z.w.v[1]."q r"`: 14, `a."b.c".d.z.w.v[1]."q r"[0]`: 14, `a."b.c".d.z.w.v[1]."q r"[1]`: 14,
		`a."b.c".d.z.w.v[2]`: 15, `a."b.c".d.z.w.v[2][0]`: 15, `a."b.c".d.z.w.v[2][0][0]`: 15,
		`a."b.c".d.after`: 17,
		`t`:               18, `t[0]`: 18, `t[0].n`: 19, `t[0].sub`: 20, `t[0].sub.n`: 21,
		`t[1]`: 22, `t[1].n`: 23, `t[1].sub`: 24, `t[1].sub.n`: 25,
		`t[1].list`: 26, `t[1].list[0]`: 26, `t[1].list[1]`: 27,
		`t[1].list[1].deep`: 28, `t[1].list[1].deep.a`: 28, `t[1].list[1].deep.a.b`: 28,
		`t[1].list[1].deep.a.b.c`: 28,
		`late`:                    29, `late.key`: 30, `late.indented`: 31,
	}
	got := map[string]int{}
	for path, at := range scanPositions(odd) {
		got[path] = at.line
	}
	if !maps.Equal(got, want) {
		for _, path := range slices.Sorted(maps.Keys(got)) {
			if got[path] != want[path] {
				t.Errorf("%s: line %d, want %d", path, got[path], want[path])
			}
		}
		for path, line := range want {
			if got[path] == 0 {
				t.Errorf("%s: not found, want line %d", path, line)
			}
		}
	}
}

func TestPositionsRankInFileOrder(t *testing.T) {
	found := scanPositions("[b]\n[a]\nz = 1\ny = 2\n[c]\n")
	order := slices.SortedFunc(maps.Keys(found), func(x, y string) int { return found[x].rank - found[y].rank })
	if got := strings.Join(order, " "); got != "b a a.z a.y c" {
		t.Errorf("order %q", got)
	}
}

// paths are all paths of a decoded file, as the walk over it spells them.
func paths(path string, value any, out map[string]bool) {
	if path != "" {
		out[path] = true
	}
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			paths(keyPath(path, key), below, out)
		}
	case []map[string]any:
		for i, below := range v {
			paths(indexPath(path, i), below, out)
		}
	case []any:
		for i, below := range v {
			paths(indexPath(path, i), below, out)
		}
	}
}

// FuzzPositions: of any text the scanner makes an end, and of a text that is
// TOML it finds the very paths the library finds.
func FuzzPositions(f *testing.F) {
	f.Add(odd)
	f.Add("[a]\nb = [[[1]], {c = {}}]\n[[x.y]]\n[x.y.z]\n")
	f.Add("a.b = 1\na.c = 2\n['']\n\"\" = ''\n")
	f.Add("x = [1,\n2]\ny = \"\"\"\\\n  a\"\"\"\"\nz = '''''a'''''\n")
	f.Fuzz(func(t *testing.T, src string) {
		found := scanPositions(src)
		var decoded map[string]any
		if _, err := toml.Decode(src, &decoded); err != nil || strings.HasPrefix(src, "\xfe\xff") || strings.HasPrefix(src, "\xff\xfe") {
			return
		}
		want := map[string]bool{}
		paths("", decoded, want)
		for path := range want {
			if _, ok := found[path]; !ok {
				t.Errorf("%q: path %s not found, only %s", src, path, fmt.Sprint(found))
			}
		}
		if len(found) != len(want) {
			t.Errorf("%q: %d paths %v, want %d", src, len(found), found, len(want))
		}
	})
}
