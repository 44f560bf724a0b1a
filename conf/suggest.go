package conf

import "strings"

// maxSuggest is the longest name, in bytes, that a suggestion is sought for.
const maxSuggest = 64

// minPrefix is the shortest beginning, in bytes, that hints at a name.
const minPrefix = 3

// didYouMean is ` (did you mean "x"?)` with the name that got was likely meant
// for, and that name; both are "" if no name is near. A name that goes on where
// got ends, or the other way round, is near if no other is.
func didYouMean(got string, names []string) (hint, name string) {
	best := len(got)/3 + 1
	folded := strings.ToLower(strings.ReplaceAll(got, "-", "_"))
	if len(got) > maxSuggest {
		return "", ""
	}
	for _, n := range names {
		if d := distance(folded, strings.ToLower(n)); d < best || d == best && name == "" && d < len(n) {
			best, name = d, n
		}
	}
	for _, n := range names {
		if name == "" && min(len(n), len(folded)) >= minPrefix && (strings.HasPrefix(n, folded) || strings.HasPrefix(folded, n)) {
			name = n
		}
	}
	if name == "" {
		return "", ""
	}
	return ` (did you mean "` + name + `"?)`, name
}

// distance counts the bytes to insert, drop, replace or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := prev[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, prev[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
