package auth

import "strings"

// Match reports whether s is what a mask stands for: * in it is any characters,
// also none, ? is any byte. It does not fold case.
func Match(mask, s string) bool {
	star, from := -1, 0 // the last * and where in s it began to match
	m, i := 0, 0
	for i < len(s) {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, i
			m++
		case m < len(mask) && (mask[m] == '?' || mask[m] == s[i]):
			m++
			i++
		case star >= 0:
			from++
			m, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(mask[m:], "*") == ""
}
