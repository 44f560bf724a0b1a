package relay

import (
	"fmt"
	"io"
	"testing"
)

// BenchmarkCopy moves bytes from the server to the client, as a FETCH does:
// the loop reads, follows the lines, encrypts if it must, and writes.
func BenchmarkCopy(b *testing.B) {
	for _, sec := range []security{{}, {client: true}, {client: true, server: true}} {
		for _, size := range []int{32, 64 << 10} {
			b.Run(fmt.Sprintf("clientTLS=%v/serverTLS=%v/%dB", sec.client, sec.server, size), func(b *testing.B) {
				j := newRoom(b, Timeouts{}, sec).join(b)
				msg := make([]byte, size)
				got := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := j.server.Write(msg); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(j.client, got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
