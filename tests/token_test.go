package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// tokenFor is an OAuth2 token of a user that the Dovecots believe. It is a minute
// old: Dovecot's time may be that of its last turn, and it takes no token of a
// second that has not begun.
func tokenFor(user string) string {
	now := time.Now().Unix()
	return sign(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, now-60, now+3600))
}

func sign(claims string) string {
	enc := base64.RawURLEncoding
	body := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(tokenKey))
	mac.Write([]byte(body))
	return body + "." + enc.EncodeToString(mac.Sum(nil))
}

// A token is passed on as it came, and the user in it is the one who is
// placed.
func TestToken(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		for _, mechanism := range []string{"XOAUTH2", "OAUTHBEARER"} {
			message := func(user, token string) string {
				if mechanism == "XOAUTH2" {
					return base64String("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
				}
				return base64String("n,a=" + user + ",\x01host=imap.test\x01port=993\x01auth=Bearer " + token + "\x01\x01")
			}
			t.Run(mechanism, func(t *testing.T) {
				user := newUser()
				c := dialTLS(t, to.implicit, trust(t, to.name))
				c.expect("* OK")
				c.ok("AUTHENTICATE %s %s", mechanism, message(user, tokenFor(user)))
				c.ok("SELECT INBOX")
				c.logout()

				c = greeted(t, to.plain)
				c.send("a AUTHENTICATE " + mechanism + "\r\n")
				c.expect("+")
				c.send(message(user, tokenFor(user)) + "\r\n")
				c.expect("a OK")
				c.logout()

				c = greeted(t, to.plain)
				c.send("a AUTHENTICATE " + mechanism + " " + message(user, "no.such.token") + "\r\n")
				c.expect("+ ") // what is wrong, as JSON
				c.send("AQ==\r\n")
				c.expect("a NO")
				c.ok("NOOP")
				c.ok("AUTHENTICATE %s %s", mechanism, message(user, tokenFor(user)))
				c.logout()
			})
		}
	})
}

// A token may be longer than any line of IMAP.
func TestTokenLong(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("fake-long-token-", 2500) // 40 kB
	heard := make(chan string, 1)
	d := runIMAPd(t, func(v *visit) {
		v.say("* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=XOAUTH2] ready")
		for line := v.hear(); line != ""; line = v.hear() {
			tag, rest, _ := strings.Cut(line, " ")
			if message, ok := strings.CutPrefix(rest, "AUTHENTICATE XOAUTH2 "); ok {
				heard <- message
			}
			v.say(tag + " OK done")
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	l.secrets = append(l.secrets, "fake-long-token-")
	message := base64String("user=" + newUser() + "\x01auth=Bearer " + secret + "\x01\x01")
	c := greeted(t, l.plain)
	c.ok("AUTHENTICATE XOAUTH2 %s", message)
	if got := <-heard; got != message {
		t.Errorf("the server got %d bytes, want the client's %d unchanged", len(got), len(message))
	}
	c.close()
}
