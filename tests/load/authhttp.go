package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
)

const maxAuthRequest = 2 << 10 // bytes of an auth_http request

// acceptAuth answers nginx's auth_http requests: whoever asks, the server is
// the light IMAP server. It speaks just enough HTTP for that, since nginx opens
// a connection for each login and what this costs is taken from the machine the
// proxy runs on.
func acceptAuth(l net.Listener, server *net.TCPAddr) {
	answer := fmt.Appendf(nil, "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: %s\r\nAuth-Port: %d\r\n\r\n",
		server.IP, server.Port)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go answerAuth(conn, answer)
	}
}

func answerAuth(conn net.Conn, answer []byte) {
	defer conn.Close()
	buf := make([]byte, maxAuthRequest)
	for n := 0; n < len(buf); {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			conn.Write(answer)
			return
		}
	}
}
