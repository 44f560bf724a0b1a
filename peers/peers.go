// Package peers joins imaplb processes into a group: it finds out who is there,
// keeps one stream to each of them, and ships the states it is given over these
// streams until all hold the same. It knows nothing of what a State holds, and
// decides nothing: who is alive and what arrived is told to its owner.
//
// Membership and the detection of failures are memberlist's. A Link is one end
// of the conversation with one peer, arithmetic and memory only; Group is the
// driver with sockets, goroutines and the clock.
package peers

import "errors"

// Bounds of what a link carries.
const (
	MaxName    = 255           // bytes of the name of a peer or a state, and of a topic
	MaxStates  = 128           // states of a group
	MaxBuckets = 1 << 16       // buckets of a state: their digests fit into a frame
	MaxMessage = 64 << 10      // bytes of a message
	MaxPending = 64            // messages that wait on a link
	maxFrame   = 1 << 20       // bytes of a frame, its length not counted
	maxBatch   = 64 << 10      // bytes Next appends, but for what one blob goes beyond
	minBlob    = 1 << 10       // room there is for a blob, or it waits for the next call of Next
	maxCheck   = 512           // buckets repaired after a periodic check
	maxEchoes  = 8             // echoes that wait for their answer to be sent
	maxSteps   = 1 << 12       // calls of Part in one Next, should all be empty
	lengthSize = 4             // bytes of the length before each frame
	maxDiscard = 16 * maxFrame // a longer frame is no frame: the framing is lost
)

// Errors a caller may branch on.
var (
	// ErrEnd says that the connection cannot go on.
	ErrEnd = errors.New("peers: connection cannot go on")
	// ErrVersion says that the peer speaks no version we speak.
	ErrVersion = errors.New("peers: no common protocol version")
	// ErrBusy says that too many messages wait.
	ErrBusy = errors.New("peers: too many messages wait")
	// ErrAway says that there is no connection to the peer.
	ErrAway = errors.New("peers: no connection to the peer")
	// ErrName says that another process has the name of this one.
	ErrName = errors.New("peers: the name is taken by another process")
	// ErrKey says that a key, or the file of keys, is not usable.
	ErrKey = errors.New("peers: key")

	errFrame = errors.New("malformed frame")
)
