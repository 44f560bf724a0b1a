package cluster

// Effects is what the peers' decisions do to this process. The methods are
// called in the order of the decisions, by one goroutine at a time, whichever
// it is that called into the Cluster, with no lock held. They do not block and
// may call any method of the Cluster; what they cause there comes later.
type Effects interface {
	OrderEffects
	MoveEffects
	FlushEffects

	// Health is the verdict of the peers on a server, when it changes; up, when
	// nobody votes any more on one that was down.
	Health(backend, server string, up bool)
	// Void says that the sessions of a peer are gone: it left, or it is dead
	// for the grace. It is called once for each time.
	Void(peer string)
}

// OrderEffects carries out orders, the operator's at this peer and at others.
// Each method returns what came of it, a few words for the list of events.
type OrderEffects interface {
	// Admin gives a server the admin state, "ready", "drain" or "maint".
	Admin(backend, server, state string) (outcome string)
	// Weight gives a server the weight, 0 to 256.
	Weight(backend, server string, weight int) (outcome string)
	// Maxconn gives a server the maxconn of all peers together, 0 for none.
	Maxconn(backend, server string, n int) (outcome string)
	// Kick ends sessions that this process has.
	Kick(k Kick) (outcome string)
	// Clear removes the entry of a key from a table, or all if key is empty.
	Clear(table, key string) (outcome string)
}

// MoveEffects moves users between servers.
type MoveEffects interface {
	// CloseUser ends this process's sessions of a key on other servers than
	// except. When none is left, or there was none, Gone must be called.
	CloseUser(table, key, except string)
	// Assign writes the new server of a key into the table of this peer, which
	// began the move, and returns the stamp it got there.
	Assign(table, key, server string) (Stamp, error)
	// Assigned merges the assignment that Assign made at another peer.
	Assigned(table, key, server string, stamp Stamp)
	// Release lets the logins go on that wait for the end of a move. server is
	// the new one, "" if nothing was assigned.
	Release(table, key, server string)
}

// Stamp is a table's stamp of an assignment; its meaning is the table's.
type Stamp struct {
	Time   uint64 // not 0
	Writer string // the peer's name
}
