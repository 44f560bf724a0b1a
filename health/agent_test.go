package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseAgent(t *testing.T) {
	say := func(f func(*Report)) Report {
		r := Report{Weight: -1, Maxconn: -1}
		f(&r)
		return r
	}
	for _, c := range []struct {
		answer string
		want   Report
	}{
		{"up\n", say(func(r *Report) { r.Word = "up" })},
		{"75%", say(func(r *Report) { r.Weight = 75 })},
		{"0%\r\n", say(func(r *Report) { r.Weight = 0 })},
		{"maxconn:30\n", say(func(r *Report) { r.Maxconn = 30 })},
		{"ready up 100% maxconn:0\n", say(func(r *Report) { r.Admin, r.Word, r.Weight, r.Maxconn = "ready", "up", 100, 0 })},
		{" Drain,\t50%,UP \nmaint", say(func(r *Report) { r.Admin, r.Word, r.Weight = "drain", "up", 50 })},
		{"stopped # for the night\n", say(func(r *Report) { r.Word, r.Desc = "stopped", "for the night" })},
		{"fail#disk \x1b[1m\n", say(func(r *Report) { r.Word, r.Desc = "fail", "disk ?[1m" })},
		{"maint\n", say(func(r *Report) { r.Admin = "maint" })},
		{"down", say(func(r *Report) { r.Word = "down" })},
		{"drain ready", say(func(r *Report) { r.Admin = "ready" })}, // the last word counts
		{"25600%", say(func(r *Report) { r.Weight = 25600 })},
	} {
		if got, err := ParseAgent([]byte(c.answer)); err != nil || got != c.want {
			t.Errorf("ParseAgent(%q) = %+v, %v, want %+v", c.answer, got, err, c.want)
		}
	}
	for _, answer := range []string{"", "\n", "# only words", "hello", "up hello", "75", "-1%", "%", "1.5%", "25601%", "maxconn:", "maxconn:-1", "maxconn:50000001", "HTTP/1.1 400 Bad Request", "99999999999999999999%"} {
		if got, err := ParseAgent([]byte(answer)); err == nil || got != (Report{Weight: -1, Maxconn: -1}) {
			t.Errorf("ParseAgent(%q) = %+v, want an error and nothing said", answer, got)
		}
	}
}

// Whatever an agent says, what is taken from it is in range and can be shown.
func FuzzAgent(f *testing.F) {
	for _, s := range []string{"up\n", "75% maxconn:30 ready # all well\r\n", "drain,fail", "HTTP/1.1 200", "25600% maxconn:50000000", "\xff#\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		r, err := ParseAgent(answer)
		if r.Weight < -1 || r.Weight > maxPercent || r.Maxconn < -1 || r.Maxconn > maxMaxconn || len(r.Desc) > maxDesc {
			t.Errorf("%q gives %+v", answer, r)
		}
		text := r.Desc
		if err != nil {
			text += err.Error()
		}
		if strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
			t.Errorf("%q is shown as %q", answer, text)
		}
		if err == nil && r.Admin == "" && r.Word == "" && r.Weight < 0 && r.Maxconn < 0 {
			t.Errorf("%q says nothing and is taken for an answer", answer)
		}
	})
}

// What is not mentioned stays, failures change nothing, and nonsense is news once.
func TestAgentVoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{"drain 50%", "", "hello", "hello again", "!", "up # fine", "HELLO", "ready", "silence"}
		var got []string
		a := NewAgent(time.Second, 500*time.Millisecond, func(ctx context.Context) ([]byte, error) {
			answer := answers[0]
			answers = answers[1:]
			switch answer {
			case "!":
				return nil, errors.New("refused")
			case "silence":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []byte(answer), nil
		}, func(_ time.Time, v Voice) {
			got = append(got, fmt.Sprintf("%s %s %s%d%% %q %v", v.Check, v.Admin, v.Word, v.Weight, v.Trouble, v.New))
		})
		a.Start(time.Second)
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		a.Stop()
		want := []string{
			`L7OK drain 50% "" false`,
			`L7RSP drain 50% "agent says nothing" true`,
			`L7RSP drain 50% "agent says \"hello\"" false`,
			`L7RSP drain 50% "agent says \"hello\"" false`,
			`L4CON drain 50% "cannot connect" false`,
			`L7OK drain up50% "" false`,
			`L7RSP drain up50% "agent says \"hello\"" true`,
			`L7OK ready up50% "" false`,
			`L4TOUT ready up50% "connection timed out" false`,
		}
		want[6] = `L7RSP drain up50% "agent says \"HELLO\"" true`
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestAskAt(t *testing.T) {
	for _, c := range []struct{ name, script, want, err string }{
		{"a line", "> up 50%\nwait\n", "up 50%\r\n", ""},
		{"hears what is sent", "< mail1\n> ready\n", "ready\r\n", ""},
		{"silent", "wait\n", "", "L7TOUT"},
		{"too long", "> " + strings.Repeat("x", maxAnswer) + "\n", "", "L7RSP"},
		{"nothing", "< mail1\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.script)
			patience := 10 * time.Second
			if c.err == "L7TOUT" {
				patience = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := AskAt(s.l.Addr().String(), "mail1\n", nil)(ctx)
			if check, _ := word(Seen{}, err); string(got) != c.want || check != c.err {
				t.Errorf("answer %q, %s (%v), want %q, %q", got, check, err, c.want, c.err)
			}
		})
	}
	if _, err := AskAt("127.0.0.1:1", "", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 8)})(t.Context()); err == nil {
		t.Error("nobody listens, and there is an answer")
	}
}
