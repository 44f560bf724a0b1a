package stats

import (
	"runtime"
	"runtime/debug"
	"time"
)

// The commands that concern the process as a whole.

func showVersion(c *client, _ []string) message { return informed(c.node.Info().Version) }

// showErrors answers the form HAProxy has when nothing was captured: bytes of
// clients are never kept here, since a password may be among them.
func showErrors(c *client, _ []string) message {
	c.printf("Total events captured on [%s] : 0\n", c.srv.now().Format("02/Jan/2006:15:04:05.000"))
	return message{}
}

func reload(c *client, _ []string) message {
	changed, err := c.node.Reload()
	if err != nil {
		return failed(err.Error())
	}
	return message{sevNotice, changed}
}

// debugGC makes memory comparable: what is still held afterwards is in use. It
// takes long on a big heap, but stops nobody.
func debugGC(c *client, _ []string) message {
	start := time.Now()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.printf("Goroutines: %d\n", runtime.NumGoroutine())
	c.printf("Heap_bytes: %d\n", m.HeapAlloc)
	c.printf("Heap_objects: %d\n", m.HeapObjects)
	c.printf("Stack_bytes: %d\n", m.StackInuse)
	c.printf("Sys_bytes: %d\n", m.Sys-m.HeapReleased)
	c.printf("Took_ms: %d\n", time.Since(start).Milliseconds())
	return message{}
}
