package stats

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"imaplb/sticktable"
)

const maxFilters = 4 // "data." filters of a command

// storedTypes are the data that every table holds and numbers can be compared
// with; server_key is held too, but is no number.
var storedTypes = []string{"server_id", "conn_cur", "server_key"}

// otherTypes are HAProxy's data types that our tables do not hold, or not all.
var otherTypes = []string{
	"gpt0", "gpc0", "gpc0_rate", "gpc1", "gpc1_rate", "gpt", "gpc", "gpc_rate", "conn_cnt", "conn_rate",
	"sess_cnt", "sess_rate", "http_req_cnt", "http_req_rate", "http_err_cnt", "http_err_rate", "http_fail_cnt",
	"http_fail_rate", "bytes_in_cnt", "bytes_in_rate", "bytes_out_cnt", "bytes_out_rate", "glitch_cnt", "glitch_rate",
	"auth_fail_cnt", "auth_fail_rate", // ours
}

// operators compare what is stored with the number of the filter.
var operators = map[string]func(is, want int64) bool{
	"eq": func(is, want int64) bool { return is == want },
	"ne": func(is, want int64) bool { return is != want },
	"le": func(is, want int64) bool { return is <= want },
	"ge": func(is, want int64) bool { return is >= want },
	"lt": func(is, want int64) bool { return is < want },
	"gt": func(is, want int64) bool { return is > want },
}

// A filter is one "data.<type> <operator> <value>".
type filter struct {
	name    string // of the data
	compare func(is, want int64) bool
	want    int64
}

// keep reports whether an entry with these data passes all filters.
func keep(filters []filter, data func(name string) int64) bool {
	for _, f := range filters {
		if !f.compare(data(f.name), f.want) {
			return false
		}
	}
	return true
}

// parseFilters reads the filters of a command. bad is the text of the error.
func parseFilters(t *sticktable.Table, args []string) (filters []filter, bad string) {
	for n := 1; len(args) > 0; n++ {
		name, ok := strings.CutPrefix(args[0], "data.")
		if !ok || n > maxFilters {
			return nil, onlyFilters
		}
		f, bad := parseFilter(t, name, args[1:])
		if bad != "" {
			return nil, fmt.Sprintf("Filter entry #%d: %s", n, bad)
		}
		filters = append(filters, f)
		args = args[3:]
	}
	return filters, ""
}

// parseFilter reads what stands behind the data type: operator and value.
func parseFilter(t *sticktable.Table, name string, args []string) (f filter, bad string) {
	if bad := checkType(t, name); bad != "" {
		return f, bad
	}
	if len(args) == 0 || operators[args[0]] == nil {
		return f, `Require and operator among "eq", "ne", "le", "ge", "lt", "gt"`
	}
	if len(args) < 2 {
		return f, notComparable
	}
	want, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || name == "server_key" {
		return f, notComparable
	}
	return filter{name: name, compare: operators[args[0]], want: want}, ""
}

const notComparable = "Require a valid integer value to compare against"

// checkType is the text of the error of a data type that cannot be named, "" if
// it can.
func checkType(t *sticktable.Table, name string) (bad string) {
	if store := t.Stored(); holds(&store, name) {
		return ""
	}
	name, _, _ = strings.Cut(name, "[") // arrays: gpc[1]
	switch {
	case slices.Contains(storedTypes, name):
		return ""
	case slices.Contains(otherTypes, name):
		return "Data type not stored in this table"
	}
	return "Unknown data type"
}

// holds reports whether a table stores a counter of that name.
func holds(s *sticktable.Store, name string) bool {
	d, ok := sticktable.DataNamed(name)
	return ok && s.Has(d)
}
