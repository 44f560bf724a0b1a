package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// demoServer is an IMAP server in memory. Every server has the same users, but
// each its own mail, so that one sees where one is.
type demoServer struct {
	Name string
	Addr string

	server *imapserver.Server
	done   chan error // gets the result of Serve
}

// startDemoServers starts a server per name on a free port of the loopback
// interface. With an error it returns those that run.
func startDemoServers(names ...string) ([]*demoServer, error) {
	var servers []*demoServer
	for _, name := range names {
		s, err := startDemoServer(name)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// stopDemoServers closes their connections and waits for them.
func stopDemoServers(servers []*demoServer) {
	for _, s := range servers {
		_ = s.server.Close() // the demo is over
		<-s.done
	}
}

func startDemoServer(name string) (*demoServer, error) {
	store := imapmemserver.New()
	for _, user := range demoUsers {
		u, err := demoMail(name, user)
		if err != nil {
			return nil, fmt.Errorf("demo: mail of %s: %w", user, err)
		}
		store.AddUser(u)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s := &demoServer{Name: name, Addr: ln.Addr().String(), done: make(chan error, 1)}
	s.server = imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return store.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: true, // only this process connects, over loopback
		Logger:       log.New(io.Discard, "", 0),
	})
	go s.serve(ln) // ends at Close; stopDemoServers waits on done
	return s, nil
}

func (s *demoServer) serve(ln net.Listener) {
	err := s.server.Serve(ln)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	s.done <- err
}

// demoMail is a user with the usual mailboxes and three messages.
func demoMail(server, name string) (*imapmemserver.User, error) {
	user := imapmemserver.NewUser(name, demoPassword)
	for _, mailbox := range []string{"INBOX", "Sent", "Drafts", "Trash"} {
		if err := user.Create(mailbox, nil); err != nil {
			return nil, err
		}
		if err := user.Subscribe(mailbox); err != nil {
			return nil, err
		}
	}
	for i, text := range []string{
		"You are on " + server + ", and every session of yours will be.",
		"Open a second session: the stick table sends it here as well.",
		"Log in as another user: that one may live on the other server.",
	} {
		date := time.Now().Add(time.Duration(i-3) * time.Hour)
		if _, err := user.Append("INBOX", demoMessage(server, name, text, date), &imap.AppendOptions{Time: date}); err != nil {
			return nil, err
		}
	}
	return user, nil
}

// demoMessage is a message of one line. RFC 5322 section 3.6.
func demoMessage(server, user, text string, date time.Time) *bytes.Reader {
	return bytes.NewReader(fmt.Appendf(nil, "Date: %s\r\nFrom: %s <demo@example.org>\r\nTo: %s@example.org\r\n"+
		"Message-ID: <%d.%s@example.org>\r\nSubject: %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n",
		date.Format(time.RFC1123Z), server, user, date.UnixNano(), user, text, text))
}
