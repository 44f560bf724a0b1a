package upstream

import (
	"testing"

	"imaplb/auth"
)

func TestOutcomeOfAnswers(t *testing.T) {
	answers := []struct {
		line string
		want Outcome
	}{
		{"L OK in", OK},
		{"L NO", AuthFailed},
		{"L NO no such user", AuthFailed},
		{"L NO [AUTHENTICATIONFAILED] no", AuthFailed},
		{"L NO [authenticationfailed] no", AuthFailed},
		{"L NO [UNAVAILABLE] later", Temporary},
		{"L NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", Limit},
		{"L NO [SERVERBUG] oops", Temporary},
		{"L NO [REFERRAL imap://alice@inside/] there", Temporary},
		{"L NO [LIMIT] full", Limit},
		{"L NO [INUSE] busy", Refused},
		{"L NO [EXPIRED] old", Refused},
		{"L NO [AUTHORIZATIONFAILED] no", Refused},
		{"L NO [CONTACTADMIN] no", Refused},
		{"L NO [X-NEW and more] no", Refused},
		{"L BAD what", Protocol},
		{"L BAD [LIMIT] what", Protocol},
		{"L PREAUTH in", Protocol},
		{"L BYE", Protocol},
		{"L", Protocol},
	}
	for _, a := range answers {
		x := newExchange(request(credentials(auth.MechNone, "alice", "swordfish")), false, false)
		_, _ = x.fromServer([]byte(hello))
		_, _ = x.fromServer([]byte(a.line + "\r\n"))
		if x.step != finished || x.outcome != a.want {
			t.Errorf("%q gives %v, want %v", a.line, x.outcome, a.want)
		}
	}
}

// A server that leaves with a BYE has judged nobody's password, whatever code
// it gives.
func TestByeIsNoVerdict(t *testing.T) {
	for _, line := range []string{"* BYE", "* BYE [ALERT] down", "* BYE [AUTHENTICATIONFAILED] x", "* BYE [X-OTHER] x"} {
		x := newExchange(request(credentials(auth.MechNone, "alice", "swordfish")), false, false)
		_, _ = x.fromServer([]byte(hello + line + "\r\n"))
		x.closed()
		if x.outcome != Temporary {
			t.Errorf("%q gives %v, want %v", line, x.outcome, Temporary)
		}
	}
}

func TestOutcomesAreComplete(t *testing.T) {
	seen := map[string]Outcome{}
	for o := range numOutcomes {
		if o.String() == "" || len(o.Termination()) != 2 {
			t.Errorf("outcome %d has word %q and state %q", o, o.String(), o.Termination())
		}
		if other, twice := seen[o.String()]; twice {
			t.Errorf("outcomes %d and %d are both %q", o, other, o.String())
		}
		seen[o.String()] = o
		if want := o == ConnectRefused || o == ConnectTimeout; o.Retry() != want {
			t.Errorf("%v.Retry() = %v, want %v", o, o.Retry(), want)
		}
	}
}
