package main

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxLogBuffer = 1 << 20               // bytes that wait to be written
	logDelay     = 50 * time.Millisecond // longest time they wait
)

// logWriter decouples the event loops from whoever reads the log: a pipe that
// nobody empties must not stop mail. What does not fit is dropped and counted.
// Shared: any goroutine may call any method.
type logWriter struct {
	out     io.Writer
	dropped atomic.Int64
	stop    chan struct{}
	done    chan struct{}

	mu  sync.Mutex // guards buf
	buf []byte
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run() // ends at Close, which waits on done
	return w
}

// Write takes one line. It never fails and never blocks.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf)+len(p) > maxLogBuffer {
		w.dropped.Add(1)
	} else {
		w.buf = append(w.buf, p...)
	}
	return len(p), nil
}

func (w *logWriter) run() {
	defer close(w.done)
	t := time.NewTicker(logDelay)
	defer t.Stop()
	var spare []byte
	for {
		select {
		case <-t.C:
			spare = w.flush(spare)
		case <-w.stop:
			w.flush(spare)
			return
		}
	}
}

// flush writes what has come, outside the lock, and returns a buffer for the
// next round.
func (w *logWriter) flush(spare []byte) []byte {
	w.mu.Lock()
	b := w.buf
	w.buf = spare[:0]
	w.mu.Unlock()
	if len(b) > 0 {
		_, _ = w.out.Write(b) // there is no place left to complain
	}
	return b
}

// Close writes what is left.
func (w *logWriter) Close() {
	close(w.stop)
	<-w.done
}

// newLogger makes the process's logger. level can be changed later.
func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// parseLevel reads log_level, which the configuration has checked.
func parseLevel(s string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return slog.LevelInfo
	}
	return l
}
