package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"imaplb/sticktable"
)

const (
	saveEvery  = 30 * time.Second       // what a kill -9 may cost, as far as it is not in the peers
	orderEvery = time.Second            // the same for orders, which are few
	sweepEvery = 200 * time.Millisecond // expiry goes on at this pace
	sweepStep  = 20_000                 // entries looked at in one step, under many short locks
)

// tablePath is where a table is saved.
func tablePath(dir, name string) string { return filepath.Join(dir, name+".table") }

// saveTable writes a table into its file.
func saveTable(dir string, t *sticktable.Table) error {
	err := writeWhole(tablePath(dir, t.Name()), func(w io.Writer) error { return t.Save(time.Now(), w) })
	if err != nil {
		return fmt.Errorf("save table %s: %w", t.Name(), err)
	}
	return nil
}

// writeWhole writes a file beside its place and renames it, so that what stands
// there is always whole.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// loadTable reads a saved table. A file that is damaged is kept aside for the
// curious, and the table starts empty.
func loadTable(log *slog.Logger, dir string, t *sticktable.Table) {
	path := tablePath(dir, t.Name())
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		log.Error("stick table not loaded", "table", t.Name(), "err", err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	n, err := t.Load(time.Now(), bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		log.Error("stick table not loaded, the file is kept aside", "table", t.Name(), "err", err)
		if err := os.Rename(path, path+".bad"); err != nil {
			log.Error("damaged stick table not kept aside", "table", t.Name(), "err", err)
		}
		return
	}
	log.Info("stick table loaded", "table", t.Name(), "entries", n)
}

// keepTables sweeps and saves the tables until stop is closed, and saves them
// a last time then.
func (n *node) keepTables(stop, done chan struct{}) {
	defer close(done)
	sweep, save, orders := time.NewTicker(sweepEvery), time.NewTicker(saveEvery), time.NewTicker(orderEvery)
	defer sweep.Stop()
	defer save.Stop()
	defer orders.Stop()
	tried := uint64(0) // a disk that is full is not tried each second
	for {
		select {
		case now := <-sweep.C:
			for _, t := range n.Tables() {
				t.Sweep(now, sweepStep)
			}
		case <-orders.C:
			if count := n.cluster.Orders(); count != tried {
				n.saveOrders()
				tried = count
			}
		case <-save.C:
			n.saveTables()
		case <-stop:
			n.saveTables()
			return
		}
	}
}

func (n *node) saveTables() {
	if n.stateDir == "" {
		return
	}
	n.saveOrders()
	for _, t := range n.Tables() {
		if err := saveTable(n.stateDir, t); err != nil {
			n.log.Error("stick table not saved", "table", t.Name(), "err", err)
		}
	}
}
