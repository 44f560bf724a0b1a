package cluster

import "time"

// Config is what the operator decides of the cluster. The keys are those of
// the [peers] section, which is declared elsewhere.
type Config struct {
	OnMinority  string        // "freeze": a side that is cut off moves nobody; "serve": it does
	TieBreaker  string        // the peer whose half is no minority when the peers are cut in two halves; "serve": both; "": see members.minority
	PeerGrace   time.Duration // after it a dead peer's sessions count no more
	MoveTimeout time.Duration // for a move of a user, at most MaxMoveTimeout
}

// Words of Config.
const (
	Freeze = "freeze"
	Serve  = "serve"
)

// MaxMoveTimeout bounds Config.MoveTimeout, and what a peer is believed of it.
const MaxMoveTimeout = 5 * time.Minute

// MaxGrace bounds MoveOrder.Grace.
const MaxGrace = 2 * time.Minute

// DefaultConfig is what holds where the file is silent.
func DefaultConfig() Config {
	return Config{OnMinority: Freeze, PeerGrace: 60 * time.Second, MoveTimeout: 10 * time.Second}
}
