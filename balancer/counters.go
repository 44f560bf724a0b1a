package balancer

import (
	"sync/atomic"
	"time"
)

// Counters of a server or a backend, named as HAProxy names them. They are
// shared: any goroutine may add and read.
type Counters struct {
	Scur     atomic.Int64 // sessions now, those logging in included
	Smax     atomic.Int64
	Stot     atomic.Int64 // sessions placed here
	Bin      atomic.Int64 // bytes from clients
	Bout     atomic.Int64 // bytes to clients
	Econ     atomic.Int64 // failed connects
	Eresp    atomic.Int64 // servers that said nonsense or hung up
	Wretr    atomic.Int64 // connects tried again
	Wredis   atomic.Int64 // sessions that went to another server after failed connects
	CliAbrt  atomic.Int64
	SrvAbrt  atomic.Int64
	Lbtot    atomic.Int64 // times chosen by the algorithm
	Chkfail  atomic.Int64
	Chkdown  atomic.Int64
	Hanafail atomic.Int64 // failures of users' logins that an Observer counted
	Connect  atomic.Int64 // connects tried
	Lastsess atomic.Int64 // Unix seconds of the last session; 0 is never
	Qcur     atomic.Int64 // logins that wait: for this server, or for any of the backend
	Qmax     atomic.Int64
	Logins   atomic.Int64 // logins under way at a server
	LoginMax atomic.Int64

	AuthOK       atomic.Int64 // logins accepted
	AuthFail     atomic.Int64 // wrong credentials
	AuthTemp     atomic.Int64 // temporary failures of the server
	AuthLimit    atomic.Int64 // too many sessions of one user
	LoginTimeout atomic.Int64 // the server did not answer the login in time
	LoginProto   atomic.Int64 // the server's answer was not understood

	Qtime, Ctime, Ttime Average // ms: waiting, connecting, whole session
	Rate                Rate    // sessions per second
}

func (c *Counters) placed(now time.Time) {
	c.Stot.Add(1)
	c.Lastsess.Store(now.Unix())
	c.Rate.Add(now, 1)
}

// raise sets m to n if n is greater.
func raise(m *atomic.Int64, n int64) {
	for {
		old := m.Load()
		if n <= old || m.CompareAndSwap(old, n) {
			return
		}
	}
}
