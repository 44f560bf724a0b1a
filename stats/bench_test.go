package stats

import (
	"bufio"
	"fmt"
	"io"
	"testing"
	"time"

	"imaplb/sticktable"
)

// BenchmarkSetTable is one "set table" of a client that does not wait for each
// answer.
func BenchmarkSetTable(b *testing.B) {
	conn := dial(b, start(b, newSnapshot(), "admin"))
	conn.SetDeadline(time.Time{})
	io.WriteString(conn, "prompt i\n")
	r := bufio.NewReaderSize(conn, 1<<16)
	r.ReadByte()
	w := bufio.NewWriterSize(conn, 1<<14)
	b.ReportAllocs()
	const ahead = 200 // commands sent before the answers are read
	for i := 0; b.Loop(); i++ {
		fmt.Fprintf(w, "set table users key user%05d@example.org data.server_id 1\n", i%100_000)
		if i%ahead == ahead-1 {
			w.Flush()
			r.Discard(ahead)
		}
	}
}

// BenchmarkShowTable is one entry of a dump.
func BenchmarkShowTable(b *testing.B) {
	e := sticktable.Entry{Key: "user12345@example.org", Server: "mail1", Sessions: 2, Local: 1, Expires: noon}
	x := shownTable{now: noon, ids: map[string]int{"mail1": 1}, servers: true, entry: &e}
	var row []byte
	b.ReportAllocs()
	for b.Loop() {
		row = x.append(row[:0])
	}
}

// BenchmarkShowStat is the CSV line of one server.
func BenchmarkShowStat(b *testing.B) {
	p := newSnapshot().proxies[1]
	l := line{proxy: &p, row: &p.Servers[0], kind: KindServer, level: levelAdmin}
	var row []byte
	b.ReportAllocs()
	for b.Loop() {
		row = appendCSV(row[:0], &l)
	}
}

func BenchmarkSplit(b *testing.B) {
	var words []string
	b.ReportAllocs()
	for b.Loop() {
		words, _ = appendWords(words[:0], "set table users key user12345@example.org data.server_id 1", maxWords)
	}
}
