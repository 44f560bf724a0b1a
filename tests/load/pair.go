package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The peers of both have their own defaults, one table of the same size, and
// the light server as their only one. imaplb's peers have a key, as in use:
// their stream is TLS. HAProxy's speak plain TCP, their default.

const haproxyPeerConfig = `global
    nbthread {{.Threads}}
    maxconn {{.Sessions}}
    localpeer {{.Name}}
    stats socket {{.Socket}} mode 600 level admin
    stats timeout 1d
defaults
    mode tcp
    timeout connect 5s
    timeout client 31m
    timeout server 31m
peers mesh
    peer {{.Name}} 127.0.0.1:{{.Port}}
    peer {{.Other}} 127.0.0.1:{{.OtherPort}}
frontend plain
    bind 127.0.0.1:{{.Plain}}
    default_backend mail
backend users
    stick-table type string len 64 size 2m expire 30m peers mesh store server_id,server_key,conn_cur
backend mail
    server s1 {{.Server}}
`

const imaplbPeerConfig = `[global]
state_dir = ""
log_level = "warn"
[stats]
socket = "{{.Socket}}"
[peers]
name = "{{.Name}}"
bind = "127.0.0.1:{{.Port}}"
join = ["127.0.0.1:{{.OtherPort}}"]
key_file = "{{.Key}}"
tie_breaker = "serve"
[stick_table.users]
size = "2m"
expire = "30m"
[frontend.plain]
bind = ["127.0.0.1:{{.Plain}}"]
tls = "none"
backend = "mail"
[backend.mail.server.s1]
addr = "{{.Server}}"
`

// peerValues is what the templates of peers show.
type peerValues struct {
	configValues
	Name, Other, Socket, Key string
	Port, OtherPort          int
}

func writeImaplbPeer(k proxyKind, dir string, v peerValues) ([]string, error) {
	path := filepath.Join(dir, "config")
	return []string{k.binary, "run", "-f", path}, fillTemplate(imaplbPeerConfig, path, v)
}

func writeHAProxyPeer(k proxyKind, dir string, v peerValues) ([]string, error) {
	path := filepath.Join(dir, "config")
	return []string{k.binary, "-db", "-q", "-f", path}, fillTemplate(haproxyPeerConfig, path, v)
}

// pair is two peers of a kind. It is owned by the goroutine that started it.
type pair struct {
	peers [2]*running
	argv  [2][]string
	probe int // users set to see them arrive
}

const (
	pairPatience = 20 * time.Second // until two peers have met: HAProxy tries again after 5 s
	seenPatience = 5 * time.Second  // until an update is seen
	firstProbe   = 1_000_000_000    // numbers of users that no measurement sets
)

// startPair runs two peers and waits until they have met.
func startPair(ctx context.Context, root string, k proxyKind, s site) (*pair, error) {
	key, err := writePeerKey(root)
	if err != nil {
		return nil, err
	}
	var ports [4]int
	for i, from := 0, s.tls+1; i < len(ports); i++ {
		if ports[i], err = freePort(from); err != nil {
			return nil, err
		}
		from = ports[i] + 1
	}
	p := &pair{probe: firstProbe}
	for i, name := range []string{"a", "b"} {
		dir, err := os.MkdirTemp(root, k.name+"-")
		if err != nil {
			return nil, err
		}
		r := &running{kind: k, dir: dir}
		v := peerValues{
			configValues: newConfigValues(dir, s), Name: name, Other: []string{"b", "a"}[i],
			Socket: r.socketPath(), Key: key, Port: ports[i], OtherPort: ports[1-i],
		}
		v.Plain = ports[2+i]
		if p.argv[i], err = k.peer(k, dir, v); err != nil {
			return nil, fmt.Errorf("%s: configure: %w", k.name, err)
		}
		p.peers[i] = r
	}
	if err := p.start(ctx); err != nil {
		words := p.peers[0].lastWords() + p.peers[1].lastWords()
		p.stop()
		return nil, fmt.Errorf("%s: start: %w%s", k.name, err, words)
	}
	return p, nil
}

func writePeerKey(root string) (string, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	path := filepath.Join(root, "peers.key")
	return path, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600)
}

func (p *pair) start(ctx context.Context) error {
	for i := range p.peers {
		if err := p.launch(i); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pairPatience)
	defer cancel()
	for i, r := range p.peers {
		c, err := r.awaitSocket(ctx)
		if err != nil {
			return err
		}
		c.conn.Close()
		if r.pids, err = processTree(r.cmd.Process.Pid); err != nil {
			return err
		}
		p.peers[i] = r
	}
	return p.meet(ctx)
}

// launch starts a peer, also one that was killed.
func (p *pair) launch(i int) error {
	p.peers[i].exited = make(chan struct{})
	return p.peers[i].launch(p.argv[i])
}

// awaitSocket connects to the runtime socket of a process that has been started.
func (r *running) awaitSocket(ctx context.Context) (*cli, error) {
	for {
		c, err := dialCLI(r.socketPath())
		if err == nil {
			return c, nil
		}
		if !r.alive() {
			return nil, errors.New("the process ended")
		}
		if ctx.Err() != nil {
			return nil, err
		}
		pause(ctx, time.Millisecond)
	}
}

// meet waits until what one sets is seen by the other, both ways.
func (p *pair) meet(ctx context.Context) error {
	for i := range p.peers {
		set, show, err := p.dial(i)
		if err != nil {
			return err
		}
		for err = errNotSeen; errors.Is(err, errNotSeen) && ctx.Err() == nil; {
			_, err = p.visible(set, show)
		}
		set.conn.Close()
		show.conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// dial connects to peer i, to set, and to the other one, to see.
func (p *pair) dial(i int) (set, show *cli, err error) {
	if set, err = dialCLI(p.peers[i].socketPath()); err != nil {
		return nil, nil, err
	}
	if show, err = dialCLI(p.peers[1-i].socketPath()); err != nil {
		set.conn.Close()
	}
	return set, show, err
}

var errNotSeen = errors.New("an update was not seen by the other peer")

// visible sets a user that is new and asks the other peer for it until it is
// there. The answer to the setting is not waited for meanwhile.
func (p *pair) visible(set, show *cli) (time.Duration, error) {
	p.probe++
	key := userKey(p.probe)
	ask, want := "show table "+peerTable+" key "+key, []byte("key="+key)
	begin := time.Now()
	if err := set.send(string(appendSet(nil, p.probe))); err != nil {
		return 0, err
	}
	var took time.Duration
	for {
		b, err := show.ask(ask)
		if err != nil {
			return 0, err
		}
		took = time.Since(begin)
		if bytes.Contains(b, want) {
			break
		}
		if took > seenPatience {
			_, _ = set.answer() // the fault is that it was not seen
			return 0, errNotSeen
		}
	}
	b, err := set.answer()
	if err == nil && len(bytes.TrimSpace(b)) > 0 {
		err = fmt.Errorf("%w to set table: %.100q", errAnswer, b)
	}
	return took, err
}

// cpuTime is what both peers used.
func (p *pair) cpuTime() (time.Duration, error) {
	return cpuTime(append(append([]int(nil), p.peers[0].pids...), p.peers[1].pids...))
}

// kill ends a peer as a crash would.
func (p *pair) kill(i int) {
	_ = p.peers[i].cmd.Process.Signal(syscall.SIGKILL) // one that has ended is as good
	<-p.peers[i].exited
	p.peers[i].stdin.Close()
}

func (p *pair) stop() {
	for _, r := range p.peers {
		if r.cmd != nil && r.cmd.Process != nil {
			r.stop()
		}
	}
}
