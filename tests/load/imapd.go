package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
)

// imapdAddrs are the addresses the light server listens on.
type imapdAddrs struct {
	plain string // IMAP
	tls   string // IMAP over TLS; "-" if there is no certificate
	auth  string // nginx's auth_http protocol
}

// imapdCommand serves until in ends, so that a server never outlives whoever
// holds the other end of its standard input. The first line on out tells the
// addresses.
func imapdCommand(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("imapd", flag.ExitOnError)
	plainAddr := flags.String("plain", "127.0.0.1:0", "address for IMAP")
	tlsAddr := flags.String("tls", "127.0.0.1:0", "address for IMAP over TLS")
	authAddr := flags.String("auth", "127.0.0.1:0", "address for nginx's auth_http")
	cert := flags.String("cert", "", "PEM file of certificate and key; none: no TLS")
	flags.Parse(args)

	plain, err := listen(*plainAddr)
	if err != nil {
		return err
	}
	auth, err := listen(*authAddr)
	if err != nil {
		return err
	}
	addrs := imapdAddrs{plain: plain.Addr().String(), tls: "-", auth: auth.Addr().String()}
	srv := newImapd()
	go srv.accept(plain)
	go acceptAuth(auth, plain.Addr().(*net.TCPAddr))
	if *cert != "" {
		l, err := listenTLS(*tlsAddr, *cert)
		if err != nil {
			return err
		}
		addrs.tls = l.Addr().String()
		go srv.accept(l)
	}
	fmt.Fprintln(out, addrs.plain, addrs.tls, addrs.auth)
	_, err = io.Copy(io.Discard, in)
	return err
}

// listen opens a port. Multipath TCP and keepalive are off: they cost
// system calls per connection and measure nothing.
func listen(addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp4", addr)
}

func listenTLS(addr, certFile string) (net.Listener, error) {
	cert, err := tls.LoadX509KeyPair(certFile, certFile)
	if err != nil {
		return nil, fmt.Errorf("imapd: load certificate: %w", err)
	}
	l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		DynamicRecordSizingDisabled: true,
	}), nil
}

// imapd is the light IMAP server. It is immutable after newImapd.
type imapd struct {
	body []byte // message 1, and what message 2 repeats
}

func newImapd() *imapd {
	body := make([]byte, smallBody)
	const line = "The quick brown fox jumps over the lazy dog; then it does so again and again.\r\n"
	for i := range body {
		body[i] = line[i%len(line)]
	}
	return &imapd{body: body}
}

func (s *imapd) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // no descriptor left: the storm asks for it
		}
		go s.serve(conn)
	}
}

func (s *imapd) serve(conn net.Conn) {
	defer conn.Close()
	c := imapConn{conn: conn, r: bufio.NewReaderSize(conn, connBuffer), body: s.body}
	c.out = append(c.out, "* OK ["+capability+"] ready\r\n"...)
	for {
		cmd, err := c.readCommand()
		if err != nil {
			return
		}
		if !c.answer(cmd) {
			c.flush()
			return
		}
	}
}
