package frontend

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/relay"
	"imaplb/sticktable"
)

// conn is one client connection from accept to close. Before login it has a
// prelogin, after it a running pair. It lives as long as an idle session does,
// so every field counts. Owned by its loop.
type conn struct {
	fe    *Frontend
	cli   *loop.Conn
	pre   *prelogin // nil after login
	pair  relay.Pair
	place balancer.Placement // valid after login
	user  string             // valid after login; may differ from the table's key
	id    uint64

	tracked *sticktable.Table // counts the client; nil for none
	cn      *string           // of the client's good certificate, for the log; nil for none

	start int64 // Unix ms
	src   netip.AddrPort
	tls   uint16 // version, 0 for none
	reuse bool   // the TLS session was resumed
	// offload says that the TLS is between the client and a proxy before us.
	offload bool
	counted bool // among the sessions of its user

	userNext, userPrev     *conn
	serverNext, serverPrev *conn
}

// w is the worker of the connection's loop.
func (c *conn) w() *worker { return c.fe.e.workers[c.cli.Loop().ID] }

// name is the session's id in logs, ours and the server's.
func (c *conn) name() string {
	return c.fe.e.name + "-" + strconv.FormatUint(c.id, 36)
}

// tlsName is the TLS version for logs and lists, "" for none.
func (c *conn) tlsName() string {
	switch c.tls {
	case 0:
		return ""
	case tlsUnknown:
		return "TLS"
	}
	return strings.Replace(tls.VersionName(c.tls), " ", "v", 1) // "TLSv1.3", as all others write it
}

// srcName is the client's address for logs and lists.
func (c *conn) srcName() string {
	if !c.src.IsValid() {
		return "unix"
	}
	return c.src.String()
}

// PairEnded is the end of a session that was logged in.
func (c *conn) PairEnded(_ *relay.Pair, why relay.Reason) {
	now := time.Now()
	c.w().unlink(c)
	up, down := c.pair.Bytes()
	srv, be := c.place.Server, c.place.Server.Backend
	for _, n := range [...]*balancer.Counters{&srv.Counters, &be.Counters} {
		n.Bin.Add(up)
		n.Bout.Add(down)
		n.Ttime.Add(now.Sub(time.UnixMilli(c.start)))
		switch why {
		case relay.ClientAborted, relay.ClientTimeout:
			n.CliAbrt.Add(1)
		case relay.ServerAborted, relay.ServerClosed, relay.ServerTimeout:
			n.SrvAbrt.Add(1)
		}
	}
	for _, n := range [...]*Counters{&c.fe.Counters, &c.fe.e.Counters} {
		n.In.Add(up)
		n.Out.Add(down)
	}
	c.uncount()
	c.place.End(now)
	c.logEnd(now, why.String(), why.Termination(), slog.LevelInfo)
	c.ended()
}

// ended takes the connection off the books.
func (c *conn) ended() {
	if c.tls != 0 && !c.offload {
		c.fe.TLSNow.Add(-1)
		c.fe.e.TLSNow.Add(-1)
	}
	c.untrack()
	c.w().remove(c)
	c.fe.e.closed(c.fe)
}

// logEnd writes the one line of a session, at its end.
func (c *conn) logEnd(now time.Time, reason, state string, level slog.Level) {
	ctx, log := context.Background(), c.fe.e.log
	if !log.Enabled(ctx, level) {
		return
	}
	up, down := c.pair.Bytes()
	attrs := make([]slog.Attr, 0, 15)
	attrs = append(attrs, slog.String("sess", c.name()), slog.String("fe", c.fe.Name))
	if srv := c.place.Server; srv != nil {
		attrs = append(attrs, slog.String("be", srv.Backend.Name), slog.String("srv", srv.Name))
	}
	attrs = append(attrs, slog.String("src", c.srcName()))
	if c.user != "" {
		attrs = append(attrs, slog.String("user", c.user))
	}
	if c.tls != 0 {
		attrs = append(attrs, slog.String("tls", c.tlsName()), slog.Bool("resumed", c.reuse))
	}
	attrs = c.appendCN(attrs)
	attrs = append(attrs,
		slog.String("reason", reason), slog.String("state", state),
		slog.Int64("in", up), slog.Int64("out", down),
		slog.String("dur", duration(now.UnixMilli()-c.start)))
	log.LogAttrs(ctx, level, "session end", attrs...)
}

// logBegin writes a line where a session begins, if that was asked for.
func (c *conn) logBegin() {
	if !c.fe.e.limits.Load().LogBegin {
		return
	}
	attrs := c.appendCN([]slog.Attr{
		slog.String("sess", c.name()), slog.String("fe", c.fe.Name),
		slog.String("be", c.place.Server.Backend.Name), slog.String("srv", c.place.Server.Name),
		slog.String("src", c.srcName()), slog.String("user", c.user), slog.String("tls", c.tlsName()),
	})
	c.fe.e.log.LogAttrs(context.Background(), slog.LevelInfo, "session begin", attrs...)
}

// duration writes milliseconds as seconds, which sort and sum.
func duration(ms int64) string { return fmt.Sprintf("%d.%03ds", ms/1000, ms%1000) }

// cause is the text of an error of crypto/tls or the kernel, without what they
// quote of the client's bytes.
func cause(err error) string {
	text, _, _ := strings.Cut(err.Error(), " (")
	text, _, _ = strings.Cut(text, ": [")
	return text
}
