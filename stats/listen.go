package stats

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const maxPath = 107 // bytes of a unix socket's name, unix(7)

// parseMode reads permissions in octal; "" is the default.
func parseMode(s string) (os.FileMode, error) {
	if s == "" {
		s = DefaultConfig().SocketMode
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("stats: socket_mode %q: want permissions in octal, as 0660", s)
	}
	return os.FileMode(n), nil
}

// listen makes the socket with its permissions before anybody can reach it: in
// a directory nobody else may enter, and renames it to its place.
func listen(path string, mode os.FileMode) (*net.UnixListener, os.FileInfo, error) {
	if len(path) > maxPath {
		return nil, nil, fmt.Errorf("stats: socket %q: name is longer than %d bytes", path, maxPath)
	}
	if err := free(path); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("stats: the folder of the socket must exist and be writable: %w", err)
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("stats: listen for %q: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	file, err := publish(temp, path, mode)
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("stats: put the socket in its place: %w", err)
	}
	return l, file, nil
}

func publish(temp, path string, mode os.FileMode) (os.FileInfo, error) {
	if err := os.Chmod(temp, mode); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// free reports why path cannot be taken: something else than a socket stands
// there, or a process listens on it.
func free(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stats: look at the socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("stats: socket %q: a file that is no socket stands there", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("stats: socket %q: another process listens there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("stats: socket %q: cannot tell whether a process listens there: %w", path, err)
	}
	return nil
}

// unlink removes the socket file, unless a successor has put its own there.
func (s *Server) unlink() {
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.file) {
		os.Remove(s.path)
	}
}
