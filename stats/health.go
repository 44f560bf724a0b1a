package stats

import "fmt"

// showServersHealth tells of each server what its checks, its agent and the
// logins of users found: "key=value", texts in quotes. What there is not is left
// out.
func showServersHealth(c *client, args []string) message {
	return c.eachServer(args, "", func(dst []byte, p *Proxy, r *Row) []byte {
		dst = fmt.Appendf(dst, "%s/%s status=%q weight=%d/%d", p.Name, r.Name, r.Status, r.Effective, r.Weight)
		if r.Throttle > 0 {
			dst = fmt.Appendf(dst, " throttle=%d%%", r.Throttle)
		}
		if r.CheckStatus != "" {
			dst = fmt.Appendf(dst, " check=%s took=%dms failed=%d down=%d", r.CheckStatus, r.CheckDuration, r.ChkFail, r.ChkDown)
			dst = appendText(dst, "desc", r.CheckDesc)
		}
		if r.Hanafail > 0 {
			dst = fmt.Appendf(dst, " observed=%d", r.Hanafail)
		}
		if r.AgentStatus != "" {
			dst = fmt.Appendf(dst, " agent=%s took=%dms", r.AgentStatus, r.AgentDuration)
			dst = appendText(dst, "word", r.AgentWord)
			dst = appendText(dst, "said", r.AgentDesc)
		}
		return appendText(dst, "capability", r.Caps)
	})
}

func appendText(dst []byte, key, text string) []byte {
	if text == "" {
		return dst
	}
	return fmt.Appendf(dst, " %s=%q", key, text)
}
