package conf

import (
	"strings"

	"imaplb/frontend"
)

// checkNetworks judges networks, and the words that may stand among them.
func (r *report) checkNetworks(path string, list []string, words ...string) {
	for i, s := range list {
		r.checkNetwork(indexPath(path, i), s, words)
	}
}

func (r *report) checkNetwork(path, s string, words []string) {
	for _, w := range words {
		if s == w {
			return
		}
	}
	if _, err := frontend.ParseNetwork(s); err != nil {
		hint, _ := didYouMean(s, words)
		r.fault(path, "%s%s", strings.TrimPrefix(err.Error(), "frontend: "), hint)
	}
}
