package conf

import (
	"imaplb/frontend"
	"imaplb/sticktable"
)

// checkTrack judges the table that counts a frontend's clients, and its rules.
func (r *report) checkTrack(c *Config, f *Frontend, path string) {
	var store sticktable.Store
	t := c.StickTable(f.TrackSrc)
	track := keyPath(path, "track_src")
	switch {
	case f.TrackSrc == "" || r.faulty["stick_table"]:
	case t == nil:
		var names []string
		for _, t := range c.StickTables {
			names = append(names, t.Name)
		}
		hint, _ := didYouMean(f.TrackSrc, names)
		r.fault(track, "no stick table %q%s", f.TrackSrc, hint)
	case t.Key != "src":
		r.fault(track, "stick table %q is keyed by %q: write key = \"src\" there", t.Name, t.Key)
	default:
		store, _ = sticktable.ParseStore(t.Store) // its faults are told at the table
	}
	for i, rule := range f.Rules {
		at := indexPath(keyPath(path, "rules"), i)
		if rule.Action == "" && !r.set(keyPath(at, "action")) {
			r.fault(at, `no action: write action = "allow", "deny" or "tarpit"`)
		}
		r.checkNetworks(keyPath(at, "src"), rule.Src)
		for j, text := range rule.When {
			r.checkCondition(indexPath(keyPath(at, "when"), j), text, f.TrackSrc, t, &store)
		}
	}
}

// checkCondition judges a condition on the counters of the table t, which
// stores these, and is nil if there is none of that name.
func (r *report) checkCondition(path, text, name string, t *StickTable, store *sticktable.Store) {
	cond, counter, err := frontend.ParseCondition(text)
	switch {
	case err != nil:
		hint := ""
		if _, known := sticktable.DataNamed(counter); !known {
			hint, _ = didYouMean(counter, sticktable.DataNames())
		}
		r.fault(path, "%s%s", err, hint)
	case name == "":
		r.fault(path, "nothing counts: name a stick table by track_src")
	case t != nil && t.Key == "src" && !store.Has(cond.Data):
		r.fault(path, "stick table %q does not store %s: add it to its store", name, counter)
	}
}
