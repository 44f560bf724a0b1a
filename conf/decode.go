package conf

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"imaplb/balancer"
	"imaplb/frontend"
	"imaplb/health"
	"imaplb/hook"
	"imaplb/peers"
	"imaplb/stats"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// One walk fills the structs from the library's maps. A field with a toml tag
// is a key; a struct without one lends its keys to the struct around it; a
// slice of structs with a Name is a keyed table ([frontend.NAME]).

// defaults are the elements of keyed tables as they stand before their keys
// are read.
var defaults = map[reflect.Type]any{
	reflect.TypeFor[StickTable](): StickTable{Config: sticktable.DefaultConfig()},
	reflect.TypeFor[Frontend]():   Frontend{Config: frontend.DefaultConfig()},
	reflect.TypeFor[Backend](): Backend{
		Balancer: balancer.DefaultConfig(), Upstream: upstream.DefaultConfig(), Check: health.DefaultConfig(), Hook: hook.DefaultConfig(),
	},
	reflect.TypeFor[Server](): Server{
		Balancer: balancer.DefaultServerConfig(), Upstream: upstream.DefaultServerConfig(),
		Agent: health.DefaultAgentConfig(),
	},
}

// defaultConfig is the configuration of an empty file.
func defaultConfig() *Config {
	return &Config{Global: defaultGlobal(), Stats: stats.DefaultConfig(), Peers: peers.DefaultConfig()}
}

// place is a spot in the file: its path, and its path among the rules.
type place struct{ path, rule string }

// key is the place of a key of the table at p.
func (p place) key(key string) place {
	return place{keyPath(p.path, key), keyPath(p.rule, key)}
}

// name is the place of a named table in the keyed table at p.
func (p place) name(name string) place {
	return place{keyPath(p.path, name), p.rule + ".*"}
}

// index is the place of an element of the list at p.
func (p place) index(i int) place {
	return place{indexPath(p.path, i), p.rule + ".*"}
}

// field is a key and the variable it sets.
type field struct {
	key   string
	value reflect.Value
}

// fields are the keys of a struct, in its order.
func fields(v reflect.Value) []field {
	var list []field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("toml")
		switch {
		case tag != "":
			list = append(list, field{tag, v.Field(i)})
		case v.Field(i).Kind() == reflect.Struct:
			list = append(list, fields(v.Field(i))...)
		}
	}
	return list
}

// isKeyed reports whether a slice of t is a keyed table.
func isKeyed(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	_, ok := t.FieldByName("Name")
	return ok
}

// table fills the struct dst from a table.
func (r *report) table(p place, table map[string]any, dst reflect.Value) {
	var known []string
	for _, f := range fields(dst) {
		known = append(known, f.key)
		if v, ok := table[f.key]; ok {
			r.value(p.key(f.key), v, f.value)
		}
	}
	kind := "key"
	if p.path == "" {
		kind = "section"
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if slices.Contains(known, key) {
			continue
		}
		hint, name := didYouMean(key, known)
		r.fault(p.key(key).path, "unknown %s%s", kind, hint)
		if meant := p.key(name).path; name != "" && !r.set(meant) {
			r.faulty[meant] = true // that it is missing is no second fault
		}
	}
}

// value sets dst from any value of the file, and leaves it as it is where that
// is a fault.
func (r *report) value(p place, v any, dst reflect.Value) {
	switch {
	case dst.Type() == reflect.TypeFor[time.Duration]():
		r.duration(p, v, dst)
	case dst.Kind() == reflect.Int:
		r.number(p, v, dst)
	case dst.Kind() == reflect.String:
		if s, ok := v.(string); !ok {
			r.fault(p.path, "expected a string, found %s", describe(v))
		} else if r.checkWord(p, s) {
			dst.SetString(s)
		}
	case dst.Kind() == reflect.Bool:
		if b, ok := v.(bool); !ok {
			r.fault(p.path, "expected true or false, found %s", describe(v))
		} else {
			dst.SetBool(b)
		}
	case dst.Kind() == reflect.Struct:
		if table, ok := v.(map[string]any); !ok {
			r.fault(p.path, "expected a table, found %s", describe(v))
		} else {
			r.table(p, table, dst)
		}
	case isKeyed(dst.Type().Elem()):
		r.keyed(p, v, dst)
	default:
		r.list(p, v, dst)
	}
}

// duration sets a duration.
func (r *report) duration(p place, v any, dst reflect.Value) {
	s, ok := v.(string)
	if !ok {
		r.fault(p.path, `expected a duration such as "30s", found %s`, describe(v))
		return
	}
	d, err := parseDuration(s)
	if err != nil {
		r.fault(p.path, "%s", err)
	} else if r.checkDuration(p, d) {
		dst.SetInt(int64(d))
	}
}

// number sets a whole number, given as such or as a size.
func (r *report) number(p place, v any, dst reflect.Value) {
	n, ok := v.(int64)
	if s, isString := v.(string); isString {
		var err error
		if n, err = parseSize(s); err != nil {
			r.fault(p.path, "%s", err)
			return
		}
		ok = true
	}
	if !ok {
		r.fault(p.path, "expected a whole number, found %s", describe(v))
	} else if r.checkRange(p, n) {
		dst.SetInt(n)
	}
}

// list sets a list. A faulty element keeps its place, so that the others keep
// their index.
func (r *report) list(p place, v any, dst reflect.Value) {
	if s, ok := v.(string); ok && dst.Type() == reflect.TypeFor[frontend.Conditions]() {
		v = []any{s}
	}
	list, ok := elements(v)
	if !ok {
		r.fault(p.path, "expected a list, found %s: put it in brackets", describe(v))
		return
	}
	for i, v := range list {
		element := reflect.New(dst.Type().Elem()).Elem()
		r.value(p.index(i), v, element)
		dst.Set(reflect.Append(dst, element))
	}
}

// keyed sets a slice of named structs, in the order of the file.
func (r *report) keyed(p place, v any, dst reflect.Value) {
	tables, ok := v.(map[string]any)
	if !ok {
		r.fault(p.path, "expected named tables such as [%s.NAME], found %s", p.path, describe(v))
		return
	}
	names := slices.SortedFunc(maps.Keys(tables), func(a, b string) int {
		return cmp.Compare(r.at[keyPath(p.path, a)].rank, r.at[keyPath(p.path, b)].rank)
	})
	for _, name := range names {
		at := p.name(name)
		table, ok := tables[name].(map[string]any)
		if !ok {
			r.fault(at.path, "expected a table [%s.NAME], found %s", p.path, describe(tables[name]))
			continue
		}
		r.checkName(at, name)
		element := reflect.New(dst.Type().Elem()).Elem()
		element.Set(reflect.ValueOf(defaults[element.Type()]))
		element.FieldByName("Name").SetString(name)
		r.table(at, table, element)
		dst.Set(reflect.Append(dst, element))
	}
}

// maxName is the longest name of a table, frontend, backend or server, in
// bytes.
const maxName = 64

func legalName(name string) bool {
	legal := name != "" && len(name) <= maxName
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		legal = legal && (letter || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':')
	}
	return legal
}

// checkName reports a name that the runtime socket could not address: its
// commands are words, "backend/server", and its answers are CSV.
func (r *report) checkName(p place, name string) {
	if !legalName(name) {
		r.fault(p.path, "bad name: write 1 to %d letters, digits or - _ . :", maxName)
	}
	if p.rule == "backend.*.server.*" && (name == "FRONTEND" || name == "BACKEND") {
		r.fault(p.path, "bad name: show stat means something else by %s", name)
	}
}
