package frontend

import "testing"

func TestParseNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.1.2.3": "10.1.2.3/32", "0.0.0.0/0": "0.0.0.0/0", "::/0": "::/0",
	} {
		if got, err := ParseNetwork(in); err != nil || got.String() != want {
			t.Errorf("ParseNetwork(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "10.0.0.0/33", "10.0.0.1/8", "example.org", "10.0.0.0/8 ", "fe80::1%eth0", "fe80::%eth0/10", "10.0.0/8"} {
		if got, err := ParseNetwork(in); err == nil {
			t.Errorf("ParseNetwork(%q) = %v, want an error", in, got)
		}
	}
}
