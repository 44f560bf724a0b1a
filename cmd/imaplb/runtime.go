package main

import (
	"os"
	"runtime"
)

// spareProcessors lets Go run as many goroutines at a time beside the loops as
// there are CPUs. A loop keeps its place in Go's scheduler while it waits: with
// io_uring for 3 ms, with epoll for 10 ms as long as another place is free.
// Were there no more places than loops, all else (handshakes, the collection of
// garbage, peers) would wait for loops that wait, and with epoll a loop would
// lose its place within microseconds and have to ask for one when its events
// come. What the administrator has set holds.
//
// It is called behind the making of the engine, which counts the processors to
// bound the handshakes that compute at once.
func spareProcessors(loops int) {
	if want := loops + runtime.NumCPU(); os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
}
