package frontend

import (
	"time"

	"imaplb/balancer"
	"imaplb/upstream"
)

// signs is what an outcome tells of the server's health; those that are not
// here tell nothing.
var signs = map[upstream.Outcome]balancer.Sign{
	upstream.OK: balancer.SignOK, upstream.AuthFailed: balancer.SignOK, upstream.Refused: balancer.SignOK, upstream.Limit: balancer.SignOK,
	upstream.ConnectRefused: balancer.SignConnect, upstream.ConnectTimeout: balancer.SignConnect, upstream.TLSFailed: balancer.SignConnect,
	upstream.LoginTimeout: balancer.SignAnswer, upstream.Temporary: balancer.SignAnswer, upstream.Protocol: balancer.SignAnswer, upstream.Lost: balancer.SignAnswer,
}

// observe lets the server's checks know of an outcome.
func observe(s *balancer.Server, o upstream.Outcome) {
	if sign, ok := signs[o]; ok {
		s.Observe(time.Now(), sign)
	}
}
