package session

import (
	"bytes"
	"time"

	"imaplb/auth"
	"imaplb/imap"
)

// A client that fails again and again is answered later and later.
const (
	failuresAtOnce = 2 // answered at once
	firstDelay     = 2 * time.Second
	maxDelay       = 15 * time.Second
)

// cmdLogin: RFC 9051 section 6.2.3.
func (s *Session) cmdLogin(now time.Time, c imap.Command, _ bool) state {
	if !s.allowsLogin() {
		s.say(privacyRequired(c.Tag))
		return stateCommand
	}
	user, pass, ok := loginArgs(c.Args)
	if !ok {
		return s.badCommand(c.Tag, "LOGIN needs a user name and a password.")
	}
	s.tag, s.sasl = string(c.Tag), auth.Exchange{}
	cred, err := auth.LoginCommand(user, pass)
	if err != nil {
		return s.failLogin(now, Failure{Kind: AuthFailed})
	}
	return s.login(now, cred)
}

// loginArgs reads two astrings; extra spaces between and behind them do no harm.
func loginArgs(args []byte) (user, pass []byte, ok bool) {
	user, n, err := imap.ConsumeAstring(args)
	if err != nil || n == len(args) || args[n] != ' ' {
		return nil, nil, false
	}
	args = bytes.TrimLeft(args[n:], " ")
	pass, n, err = imap.ConsumeAstring(args)
	return user, pass, err == nil && len(bytes.TrimLeft(args[n:], " ")) == 0
}

// privacyRequired refuses a password in clear. RFC 5530 section 3.
func privacyRequired(tag []byte) imap.Reply {
	return imap.Reply{
		Tag: tag, Status: imap.StatusNO, Code: "PRIVACYREQUIRED",
		Text: "Login is not allowed without TLS.",
	}
}

// login hands the credentials to the driver.
func (s *Session) login(now time.Time, cred auth.Credentials) state {
	s.until = now.Add(s.cfg.LoginTimeout)
	s.fx.Login(&Login{Credentials: cred, ID: s.id, TTL: int(s.ttl)})
	return stateLogin
}

// failLogin prepares the answer and sends it, or lets it wait.
func (s *Session) failLogin(now time.Time, f Failure) state {
	s.answer = string(imap.AppendReply(nil, imap.Reply{
		Tag: []byte(s.tag), Status: imap.StatusNO, Code: f.Code(), Text: f.Text(),
	}))
	if !failures[f.Kind].judged {
		s.sasl = auth.Exchange{} // no OAuth error to tell: the token may be good
	}
	if s.failures < 255 {
		s.failures++
	}
	delay := max(f.Delay, LoginDelay(int(s.failures)))
	if delay <= 0 {
		return s.answerLogin()
	}
	s.until = now.Add(delay)
	return stateDelayed
}

// LoginDelay is how late the nth failure is answered: 0, 0, 2, 4, 8 and then
// 15 s.
func LoginDelay(n int) time.Duration {
	if n <= failuresAtOnce {
		return 0
	}
	delay := firstDelay
	for i := failuresAtOnce + 1; i < n && delay < maxDelay; i++ {
		delay *= 2
	}
	return min(delay, maxDelay)
}

// answerLogin tells an OAuth client what is wrong first, and waits for it to
// say that it has heard. RFC 7628 section 3.2.3.
func (s *Session) answerLogin() state {
	if text := s.sasl.Mechanism().FailureChallenge(); text != "" {
		s.challenge(text)
		return stateDummy
	}
	return s.sendAnswer()
}

func (s *Session) sendAnswer() state {
	s.fx.ToClient([]byte(s.answer))
	s.answer, s.tag, s.sasl = "", "", auth.Exchange{}
	return stateCommand
}
