package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// demoPeer is one of the demo's balancers, a process of its own, so that it can
// be killed.
type demoPeer struct {
	Name        string
	IMAPS, IMAP int    // ports
	Addr        string // for the peers
	PID         int

	config string
	cmd    *exec.Cmd
	log    io.ReadCloser
	done   chan error // gets the result of the process
}

// The demo's ports, if nobody has them: 1993 and 1143 of the first peer, and so
// on.
const (
	demoIMAPS = 1993
	demoIMAP  = 1143
	demoGap   = 1000 // from one peer's to the next one's
	demoMesh  = 17946
)

const (
	readyWithin = 10 * time.Second
	readyLook   = 20 * time.Millisecond
)

func newDemoPeer(dir string, i int) (p *demoPeer, err error) {
	name := "lb" + strconv.Itoa(i+1)
	p = &demoPeer{Name: name, config: filepath.Join(dir, name+".toml"), done: make(chan error, 1)}
	if p.IMAPS, err = choosePort(demoIMAPS + i*demoGap); err != nil {
		return nil, err
	}
	if p.IMAP, err = choosePort(demoIMAP + i*demoGap); err != nil {
		return nil, err
	}
	mesh, err := choosePort(demoMesh + i)
	p.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(mesh))
	return p, err
}

// start runs the balancer. It ends with this process, and does not hear the
// terminal's Ctrl-C by itself.
func (p *demoPeer) start() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	p.cmd = exec.Command(program, "run", "-f", p.config)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if p.log, err = p.cmd.StderrPipe(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return fmt.Errorf("demo: %w", err)
	}
	p.PID = p.cmd.Process.Pid
	return nil
}

// ready waits until the balancer takes logins, or for readyWithin.
func (p *demoPeer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	pause := time.NewTicker(readyLook)
	defer pause.Stop()
	for {
		var out strings.Builder
		c := &control{ctx: ctx, socket: filepath.Join(filepath.Dir(p.config), p.Name+".sock"), out: bufio.NewWriter(&out)}
		if c.finish(c.send("show info")) == nil && strings.Contains(out.String(), "\nReady: 1\n") {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("demo: %s does not get ready", p.Name)
		}
	}
}

// follow sends the lines of the peer's log, and then the process's result.
func (p *demoPeer) follow(lines chan<- string) {
	for s := bufio.NewScanner(p.log); s.Scan(); {
		lines <- p.Name + " | " + s.Text()
	}
	p.done <- p.cmd.Wait()
}

// watch prints the logs, and tells what it means when a peer ends, until ctx or
// the last peer has ended.
func (d *demo) watch(ctx context.Context, out io.Writer) error {
	lines := make(chan string)
	for _, p := range d.Peers {
		go p.follow(lines) // ends with the process; the loop below reads until then
	}
	stop := ctx.Done()
	for left := len(d.Peers); left > 0; {
		select {
		case <-stop:
			stop = nil
			signalDemoPeers(d.Peers[:])
		case line := <-lines:
			_, _ = fmt.Fprintln(out, line) // the demo is of no use to one who does not look
		case err := <-d.Peers[0].done:
			left--
			d.ended(out, 0, err)
		case err := <-d.Peers[1].done:
			left--
			d.ended(out, 1, err)
		}
	}
	if ctx.Err() == nil {
		return errors.New("demo: both balancers have ended")
	}
	return nil
}

// ended tells that a peer is gone, if it was not asked to go.
func (d *demo) ended(out io.Writer, i int, err error) {
	d.Peers[i].cmd = nil
	if err == nil {
		return
	}
	other := d.Peers[1-i]
	_, _ = fmt.Fprintf(out, "%s has ended (%v). Its users go on through %s, on the same servers: port %d.\n",
		d.Peers[i].Name, err, other.Name, other.IMAPS)
}

func signalDemoPeers(peers []*demoPeer) {
	for _, p := range peers {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
		}
	}
}

// stopDemoPeers ends those that still run, and that nobody follows.
func stopDemoPeers(peers []*demoPeer) {
	for _, p := range peers {
		if p != nil && p.cmd != nil {
			_ = p.cmd.Process.Kill() // nobody follows it any more
			_ = p.cmd.Wait()         // it was killed
		}
	}
}
