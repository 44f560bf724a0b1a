package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// measured is the name of the proxy that has goals.
const measured = "imaplb"

// figure is one row of the table.
type figure struct {
	name string
	goal goal
}

// goal is what a figure of imaplb is held against: a factor of the best of
// other proxies in the same round, or a plain number. The zero goal is none.
type goal struct {
	against []string // proxies; none: factor is the number itself
	factor  float64
	sign    string // "≤" or "≥"; "" is no goal
}

func atMost(factor float64, against ...string) goal { return goal{against, factor, "≤"} }

func atLeast(factor float64, against ...string) goal { return goal{against, factor, "≥"} }

// verdict tells how the figures by proxy stand to the goal; "" if there is no
// goal or nothing to hold it against.
func (g goal) verdict(rows map[string][]float64) string {
	mine := rows[measured]
	if g.sign == "" || len(mine) == 0 {
		return ""
	}
	against := ""
	if len(g.against) > 0 {
		var best []float64
		var names []string
		for _, name := range g.against {
			if len(rows[name]) > 0 {
				best, names = lesser(best, rows[name]), append(names, name)
			}
		}
		mine, against = ratios(mine, best), " × "+strings.Join(names, "|")
	}
	got := summarize(mine).median
	if math.IsNaN(got) {
		return ""
	}
	word := "met"
	if g.sign == "≥" && got < g.factor || g.sign == "≤" && got > g.factor {
		word = "MISSED"
	}
	return fmt.Sprintf("%s: %s (%s %g%s)", word, number(got), g.sign, g.factor, against)
}

// samples are the values of every round by measurement and figure, then by
// proxy. The index is the round; NaN is a round that failed.
type samples map[string]map[string][]float64

func (s samples) add(key, proxy string, v float64) {
	if s[key] == nil {
		s[key] = make(map[string][]float64)
	}
	s[key][proxy] = append(s[key][proxy], v)
}

// print writes the table: a row per figure; per proxy the median of the rounds,
// then minimum and maximum; imaplb's ratio to each other proxy; the goal.
func (s samples) print(out io.Writer, done []measurement, proxies []string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "measurement\tfigure")
	for _, p := range proxies {
		fmt.Fprintf(w, "\t%s\tmin to max", p)
	}
	for _, p := range others(proxies) {
		fmt.Fprintf(w, "\t/ %s", p)
	}
	fmt.Fprintln(w, "\tgoal")
	for _, m := range done {
		for _, f := range m.figures {
			fmt.Fprintf(w, "%s\t%s", m.name, f.name)
			s.printRow(w, s[m.name+"/"+f.name], f, proxies)
		}
	}
	w.Flush()
}

func (s samples) printRow(w io.Writer, row map[string][]float64, f figure, proxies []string) {
	for _, p := range proxies {
		if len(row) > 0 && len(row[p]) == 0 { // it has nothing of the kind
			fmt.Fprint(w, "\t-\t")
			continue
		}
		sum := summarize(row[p])
		if sum.n == 0 {
			fmt.Fprint(w, "\tfailed\t")
			continue
		}
		fmt.Fprintf(w, "\t%s\t%s to %s", number(sum.median), number(sum.min), number(sum.max))
	}
	for _, p := range others(proxies) {
		ratio := summarize(ratios(row[measured], row[p]))
		if ratio.n == 0 || ratio.median <= 0 || math.IsInf(ratio.median, 0) {
			fmt.Fprint(w, "\t")
			continue
		}
		fmt.Fprintf(w, "\t%.2f", ratio.median)
	}
	fmt.Fprintf(w, "\t%s\n", f.goal.verdict(row))
}

// others are the proxies imaplb is divided by; none if it was not measured.
func others(proxies []string) []string {
	var rest []string
	found := false
	for _, p := range proxies {
		if p == measured {
			found = true
			continue
		}
		rest = append(rest, p)
	}
	if !found {
		return nil
	}
	return rest
}

// number shows three significant digits, and whole numbers in full.
func number(v float64) string {
	if math.Abs(v) >= 100 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
