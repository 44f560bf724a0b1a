package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	c := Credentials{User: "alice", Secret: NewSecret([]byte("sesame"))}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "cred", c, "secret", c.Secret)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cred", c, "secret", c.Secret)
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := c.Secret.MarshalText()
	out := []string{log.String(), string(j), string(text), c.Secret.String(), c.Secret.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out = append(out, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Secret))
	}
	// The bytes would show as text, in hex or as a list of numbers.
	leaks := []string{"sesame", fmt.Sprintf("%x", "sesame"), "115 101", "0x73, 0x65",
		base64.StdEncoding.EncodeToString([]byte("sesame"))}
	for _, s := range out {
		for _, leak := range leaks {
			if strings.Contains(s, leak) {
				t.Errorf("%q shows the secret", s)
			}
		}
		if !strings.Contains(s, redacted) {
			t.Errorf("%q does not say that something is left out", s)
		}
	}
	if string(c.Secret.Reveal()) != "sesame" {
		t.Error("Reveal does not reveal")
	}
}

func TestNewSecretCopies(t *testing.T) {
	b := []byte("sesame")
	s := NewSecret(b)
	clear(b)
	if string(s.Reveal()) != "sesame" {
		t.Error("the secret changed with its source")
	}
}

func TestLoginCommand(t *testing.T) {
	long := strings.Repeat("u", 255)
	tests := []struct {
		user, pass string
		err        error
	}{
		{"alice", "sesame", nil},
		{"alice", "", nil},
		{"älice", "\xff\r\n", nil},
		{long, strings.Repeat("p", 1024), nil},
		{long + "u", "p", ErrRefused},
		{"alice", strings.Repeat("p", 1025), ErrRefused},
		{"", "p", ErrRefused},
		{" ", "p", ErrRefused},
		{"al\x00ice", "p", ErrRefused},
		{"al\nice", "p", ErrRefused},
		{"al\u0085ice", "p", ErrRefused},
		{"al\xffice", "p", ErrRefused},
		{"alice", "a\x00b", ErrRefused},
	}
	for _, tt := range tests {
		c, err := LoginCommand([]byte(tt.user), []byte(tt.pass))
		if !errors.Is(err, tt.err) {
			t.Errorf("LoginCommand(%q, %d bytes): %v, want %v", tt.user, len(tt.pass), err, tt.err)
		}
		if err == nil && (c.User != tt.user || string(c.Secret.Reveal()) != tt.pass || c.Mechanism != MechNone) {
			t.Errorf("LoginCommand(%q) = user %q, %s", tt.user, c.User, c.Mechanism)
		}
	}
}

func TestNormalizeUser(t *testing.T) {
	for in, want := range map[string]string{"Alice@Example.COM": "alice@example.com", "  bob ": "bob", "ÄLICE": "älice", "a b": "a b"} {
		if got := NormalizeUser(in); got != want {
			t.Errorf("NormalizeUser(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseMechanism(t *testing.T) {
	for name, want := range map[string]Mechanism{"PLAIN": MechPlain, "login": MechLogin, "XOAuth2": MechXOAuth2, "OAUTHBEARER": MechOAuthBearer} {
		if got, ok := ParseMechanism([]byte(name)); !ok || got != want {
			t.Errorf("ParseMechanism(%q) = %v, %v, want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "CRAM-MD5", "PLAIN ", "LOGIN command"} {
		if got, ok := ParseMechanism([]byte(name)); ok {
			t.Errorf("ParseMechanism(%q) = %v, want none", name, got)
		}
	}
}

// exchange plays the messages and returns the challenges on the way.
func exchange(mech Mechanism, msgs ...string) (c Credentials, done bool, challenges []string, err error) {
	e := NewExchange(mech)
	for _, msg := range msgs {
		challenges = append(challenges, e.Challenge())
		if c, done, err = e.Next([]byte(msg)); done || err != nil {
			return c, done, challenges, err
		}
	}
	return c, false, challenges, nil
}

func TestExchange(t *testing.T) {
	xoauth := "user=alice@example.com\x01auth=Bearer token\x01\x01"
	bearer := "n,a=al=2Cic=3De,\x01host=mail\x01port=993\x01auth=bearer token\x01\x01"
	tests := []struct {
		name         string
		mech         Mechanism
		msgs         []string
		user, secret string
		err          error
	}{
		{"plain", MechPlain, []string{"\x00alice\x00sesame"}, "alice", "sesame", nil},
		{"plain, own authzid", MechPlain, []string{"alice\x00alice\x00sesame"}, "alice", "sesame", nil},
		{"plain, foreign authzid", MechPlain, []string{"bob\x00alice\x00sesame"}, "", "", ErrForeign},
		{"plain, no user", MechPlain, []string{"\x00\x00sesame"}, "", "", ErrRefused},
		{"plain, NUL in the password", MechPlain, []string{"\x00alice\x00ses\x00ame"}, "", "", ErrRefused},
		{"plain, one part", MechPlain, []string{"alice"}, "", "", ErrSyntax},
		{"plain, two parts", MechPlain, []string{"\x00alice"}, "", "", ErrSyntax},
		{"plain, empty", MechPlain, []string{""}, "", "", ErrSyntax},
		{"login", MechLogin, []string{"alice", "sesame"}, "alice", "sesame", nil},
		{"login, no user", MechLogin, []string{"", "sesame"}, "", "", ErrRefused},
		{"login, NUL", MechLogin, []string{"alice", "ses\x00ame"}, "", "", ErrRefused},
		{"xoauth2", MechXOAuth2, []string{xoauth}, "alice@example.com", xoauth, nil},
		{"xoauth2, no user", MechXOAuth2, []string{"user=\x01auth=Bearer t\x01\x01"}, "", "", ErrRefused},
		{"xoauth2, no token", MechXOAuth2, []string{"user=alice\x01auth=Bearer \x01\x01"}, "", "", ErrSyntax},
		{"xoauth2, no auth", MechXOAuth2, []string{"user=alice\x01host=x\x01\x01"}, "", "", ErrSyntax},
		{"xoauth2, other auth", MechXOAuth2, []string{"user=alice\x01auth=Basic t\x01\x01"}, "", "", ErrSyntax},
		{"xoauth2, no end", MechXOAuth2, []string{"user=alice\x01auth=Bearer t\x01"}, "", "", ErrSyntax},
		{"xoauth2, line end", MechXOAuth2, []string{"user=alice\x01auth=Bearer t\r\n\x01\x01"}, "", "", ErrSyntax},
		{"xoauth2, no pairs", MechXOAuth2, []string{"user=alice"}, "", "", ErrSyntax},
		{"oauthbearer", MechOAuthBearer, []string{bearer}, "al,ic=e", bearer, nil},
		{"oauthbearer, no name", MechOAuthBearer, []string{"n,,\x01auth=Bearer t\x01\x01"}, "", "", ErrRefused},
		{"oauthbearer, channel binding", MechOAuthBearer, []string{"p=tls-unique,a=alice,\x01auth=Bearer t\x01\x01"}, "", "", ErrSyntax},
		{"oauthbearer, bad escape", MechOAuthBearer, []string{"n,a=al=41,\x01auth=Bearer t\x01\x01"}, "", "", ErrSyntax},
		{"oauthbearer, no comma", MechOAuthBearer, []string{"n,a=alice\x01auth=Bearer t\x01\x01"}, "", "", ErrSyntax},
		{"oauthbearer, dummy", MechOAuthBearer, []string{"\x01"}, "", "", ErrSyntax},
		{"oauthbearer, long", MechOAuthBearer, []string{"n,a=alice,\x01auth=Bearer " + strings.Repeat("t", maxToken) + "\x01\x01"}, "", "", ErrRefused},
		{"no mechanism", MechNone, []string{"x"}, "", "", ErrSyntax},
	}
	for _, tt := range tests {
		c, done, challenges, err := exchange(tt.mech, tt.msgs...)
		if !errors.Is(err, tt.err) || done != (tt.err == nil) || c.User != tt.user || string(c.Secret.Reveal()) != tt.secret {
			t.Errorf("%s: user %q, secret %q, done %v, %v, want %q, %q, %v",
				tt.name, c.User, c.Secret.Reveal(), done, err, tt.user, tt.secret, tt.err)
		}
		if done && c.Mechanism != tt.mech {
			t.Errorf("%s: mechanism %s, want %s", tt.name, c.Mechanism, tt.mech)
		}
		if tt.name == "login" && strings.Join(challenges, " ") != "Username: Password:" {
			t.Errorf("%s: challenges %q", tt.name, challenges)
		}
	}
}

func TestAppendPlain(t *testing.T) {
	got := AppendPlain([]byte("x "), "alice", []byte("sesame"))
	b64, ok := strings.CutPrefix(string(got), "x ")
	msg, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || string(msg) != "\x00alice\x00sesame" {
		t.Errorf("AppendPlain = %q, that is %q, %v", got, msg, err)
	}
}

// Whatever comes, what is accepted can be sent on as it is.
func fuzzExchange(f *testing.F, mech Mechanism, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), []byte("sesame"))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c, done, _, err := exchange(mech, string(first), string(second))
		switch {
		case err != nil:
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		case !done:
			t.Fatal("two messages are not enough")
		case !validUser([]byte(c.User)):
			t.Fatalf("user %q", c.User)
		case mech.OAuth() && !bytes.Equal(c.Secret.Reveal(), first):
			t.Fatal("the message is not kept as it is")
		case !mech.OAuth() && !validPassword(c.Secret.Reveal()):
			t.Fatal("impossible password")
		}
	})
}

func FuzzPlain(f *testing.F) {
	fuzzExchange(f, MechPlain, "\x00alice\x00sesame", "bob\x00alice\x00sesame")
}

func FuzzLogin(f *testing.F) { fuzzExchange(f, MechLogin, "alice") }

func FuzzXOAuth2(f *testing.F) {
	fuzzExchange(f, MechXOAuth2, "user=alice\x01auth=Bearer token\x01\x01")
}

func FuzzOAuthBearer(f *testing.F) {
	fuzzExchange(f, MechOAuthBearer, "n,a=al=2Cic=3De,\x01host=mail\x01auth=Bearer token\x01\x01")
}

func BenchmarkPlain(b *testing.B) {
	msg := []byte("\x00alice@example.com\x00sesame")
	b.ReportAllocs()
	for b.Loop() {
		e := NewExchange(MechPlain)
		if _, done, _ := e.Next(msg); !done {
			b.Fatal("refused")
		}
	}
}
