package stats

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Order says who gives an order, and to whom.
type Order struct {
	By    string // for the record, such as "admin uid=0"
	Local bool   // this peer only; else the whole cluster
}

// Move is who is to move and where to.
type Move struct{ Table, User, Backend, Server string }

// Cluster is what a process knows of its peers. The zero Cluster is a node
// without any.
type Cluster struct {
	Name    string // the cluster's label; "" is no peers at all
	Self    string
	Addr    string
	Since   time.Time // start of this process
	Ready   bool      // has learned, or did not need to: logins are taken
	Learned string    // how it started, in words
	Frozen  bool      // most peers are out of sight: nobody is moved
	Alive   int       // this process included
	Known   int
	Peers   []Peer
	Votes   []Vote      // of servers about which the peers disagree
	Missing []Elsewhere // servers that are in the files of other peers only
	Keys    []Key
	Refused Refused
}

// Refused counts what was not taken from others since the start.
type Refused struct {
	WrongKey int64 // connections and packets that were not of this cluster
	Crowded  int64 // connections closed because too many had not said whose they are
	Pushy    int64 // the same of one source
	Ahead    int64 // decisions from too far in the future
	Dropped  int64 // decisions for which there was no room
	Messages int64 // messages that made no sense
	Untold   int64 // events of peers that came too fast to be told
	Facts    int64 // decisions that are held: orders, votes, moves
}

// words are the counts as fields.
func (r *Refused) words() string {
	return fmt.Sprintf("facts=%d wrong_key=%d crowded=%d ahead=%d no_room=%d untold=%d messages=%d crowded_src=%d",
		r.Facts, r.WrongKey, r.Crowded, r.Ahead, r.Dropped, r.Untold, r.Messages, r.Pushy)
}

// Peer is another process of the cluster, with what passed between the two.
type Peer struct {
	Name, Addr string
	State      string    // "alive", "suspect", "dead", "left"
	Link       string    // "up", "learning", "down"
	Since      time.Time // of the link's present state
	Lag        time.Duration
	Offset     time.Duration // its clock less ours
	Agreed     time.Time     // when all digests were last equal, but for what was on its way; zero is never
	Version    int           // of the protocol

	UpdatesSent, UpdatesReceived int64
	Repaired                     int64 // entries that came by comparing digests
	Dropped                      int64 // messages that made no sense
	Connects                     int64
	Unlike                       []string // tables that store other counters there
	BytesIn, BytesOut            int64
}

// Vote is how the peers see one server.
type Vote struct {
	Backend, Server string
	Up              bool // the verdict
	For, Against    []string
}

// Elsewhere is a server that this process does not know.
type Elsewhere struct {
	Backend, Server string
	Peers           []string // those that do
}

// Key is a key of the cluster, by its fingerprint.
type Key struct {
	Fingerprint string
	Encrypts    bool
}

const noCluster = "This process has no peers: there is no [peers] section."

// showPeers tells of the peers: what HAProxy's own scripts look for where they
// look for it (flags=0x3 is "has learned all"), and our numbers on lines of
// their own.
func showPeers(c *client, _ []string) message {
	k := c.node.Cluster()
	if k.Name == "" {
		return informed(noCluster)
	}
	now := c.srv.now()
	flags, timeout := "0x3", "<PAST>"
	if !k.Ready {
		flags, timeout = "0x0", "<NEVER>"
	}
	c.printf("0x%x: [%s] id=%s disabled=0 flags=%s resync_timeout=%s task_calls=0\n",
		keyHash(k.Name), k.Since.Format("02/Jan/2006:15:04:05"), k.Name, flags, timeout)
	for i := range k.Peers {
		c.row = appendPeer(c.row, &k.Peers[i], now)
		if !c.flush() {
			return message{}
		}
	}
	c.printf("  0x%x: id=%s(local,inactive) addr=%s app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>\n",
		keyHash(k.Self), k.Self, k.Addr)
	c.printf("# %s\n# %s\n", k.words(), k.Refused.words())
	for _, v := range k.Votes {
		c.printf("# %s\n", v.words())
	}
	for _, e := range k.Missing {
		c.printf("# %s/%s is not in this peer's file, but in that of %s\n", e.Backend, e.Server, strings.Join(e.Peers, ","))
	}
	return message{}
}

// words is the state of the cluster in a sentence.
func (k *Cluster) words() string {
	state := "serving"
	switch {
	case !k.Ready:
		state = "learning, takes no login yet"
	case k.Frozen:
		state = "frozen: most peers are out of sight, users stay where they are and nobody is moved"
	}
	return fmt.Sprintf("%s: %d of %d peers alive; %s; %s", k.Self, k.Alive, k.Known, state, k.Learned)
}

// words is a disagreement in a sentence.
func (v *Vote) words() string {
	verdict := "down"
	if v.Up {
		verdict = "up"
	}
	return fmt.Sprintf("%s/%s counts as %s: up for %s, down for %s", v.Backend, v.Server, verdict,
		orWord(strings.Join(v.For, ","), "nobody"), orWord(strings.Join(v.Against, ","), "nobody"))
}

// appendPeer appends the lines of a peer: two of HAProxy's, then ours.
func appendPeer(dst []byte, p *Peer, now time.Time) []byte {
	activity, status, app := "inactive", "NONE", "STOPPED"
	switch p.Link {
	case "up":
		activity, status, app = "active", "ESTA", "RUNNING"
	case "learning":
		activity, status, app = "active", "ESTA", "STARTING"
	}
	dst = fmt.Appendf(dst, "  0x%x: id=%s(remote,%s) addr=%s app_state=%s learn_state=NOTASSIGNED last_status=%s last_hdshk=%s\n",
		keyHash(p.Name), p.Name, activity, p.Addr, app, status, since(p.Since, now))
	dst = fmt.Appendf(dst, "        reconnect=2s heartbeat=1s confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=%d proto_err=%d coll=0\n",
		p.Connects, p.Dropped)
	dst = fmt.Appendf(dst, "        state=%s link=%s lag_ms=%s clock_offset_ms=%s sent=%d received=%d repaired=%d dropped=%d",
		p.State, p.Link, millis(p.Lag), millis(p.Offset), p.UpdatesSent, p.UpdatesReceived, p.Repaired, p.Dropped)
	dst = fmt.Appendf(dst, " agreed=%s bytes_in=%d bytes_out=%d version=%d", since(p.Agreed, now), p.BytesIn, p.BytesOut, p.Version)
	if len(p.Unlike) > 0 {
		dst = append(append(dst, " other_store="...), strings.Join(p.Unlike, ",")...)
	}
	return append(dst, '\n')
}

// since is how long ago something was, in seconds as HAProxy writes them.
func since(t, now time.Time) string {
	if t.IsZero() {
		return "<NEVER>"
	}
	return strconv.FormatInt(seconds(now.Sub(t)), 10) + "s"
}

// millis is a duration in milliseconds with three decimals.
func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 3, 64)
}

// defaultEvents is how many events are shown if nobody says how many.
const defaultEvents = 100

func showEvents(c *client, args []string) message {
	n := defaultEvents
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || len(args) > 1 {
			return failed("Usage: show events [<number>]")
		}
	}
	for _, line := range c.node.Events(n) {
		c.row = append(c.row, line...)
		if !c.flushRow() {
			break
		}
	}
	return message{}
}

func showKeys(c *client, _ []string) message {
	k := c.node.Cluster()
	if k.Name == "" {
		return informed(noCluster)
	}
	c.printf("# fingerprint use\n")
	for _, key := range k.Keys {
		use := "decrypts"
		if key.Encrypts {
			use = "encrypts"
		}
		c.printf("%s %s\n", key.Fingerprint, use)
	}
	return message{}
}

func addKey(c *client, args []string) message {
	if len(args) > 0 {
		return failed("Keys are not typed: write the new one into the key file, below the others.")
	}
	n, err := c.node.AddKeys(Order{By: c.by, Local: true})
	if err != nil {
		return failed(err.Error())
	}
	return informedf("%s added.", howMany(n, "key"))
}

func useKey(c *client, args []string) message {
	if len(args) != 1 {
		return failed("A fingerprint is expected (use 'show keys').")
	}
	return outcome(c.node.UseKey(Order{By: c.by, Local: true}, args[0]))
}

func removeKey(c *client, args []string) message {
	if len(args) != 1 {
		return failed("A fingerprint is expected (use 'show keys').")
	}
	return outcome(c.node.RemoveKey(Order{By: c.by, Local: true}, args[0]))
}
