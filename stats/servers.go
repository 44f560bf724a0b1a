package stats

import (
	"fmt"
	"strings"
)

// The dumps of servers and backends. HAProxy's fields stand in fixed places.

const serversStateHeader = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight" +
	" srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state" +
	" bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr" +
	" srv_agent_addr srv_agent_port\n"

// Bits of srv_admin_state and srv_check_state, and values of the others.
const (
	opStopped = 0
	opRunning = 2

	adminForcedMaint = 0x01
	adminConfigMaint = 0x04
	adminForcedDrain = 0x08

	resultUnknown = 0
	resultFailed  = 2
	resultPassed  = 3

	checkConfigured = 0x2
	checkEnabled    = 0x4
	checkPaused     = 0x8
)

// checkCodes are the numbers of srv_check_status; what is not here is 0,
// unknown.
var checkCodes = map[string]int{
	"INI": 1, "HANA": 4, "SOCKERR": 5, "L4OK": 6, "L4TOUT": 7, "L4CON": 8, "L6OK": 9, "L6TOUT": 10, "L6RSP": 11,
	"L7TOUT": 12, "L7RSP": 13, "L7OK": 15, "L7OKC": 16, "L7STS": 17,
}

func showServersState(c *client, args []string) message {
	return c.eachServer(args, serversStateHeader, appendServerState)
}

func showServersConn(c *client, args []string) message {
	threads := c.node.Info().Threads
	header := fmt.Sprintf("# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est"+
		" idle_sess unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[%d]\n", threads)
	return c.eachServer(args, header, func(dst []byte, p *Proxy, r *Row) []byte {
		host, port := splitAddr(r.Addr)
		dst = fmt.Appendf(dst, "%s/%s %d/%d %s %s - 0 %d %d %d %d 0 0 0 -1 0", p.Name, r.Name, p.ID, r.ID,
			host, port, r.Scur, r.Scur, r.Smax, r.Scur)
		return append(dst, strings.Repeat(" 0", threads)...)
	})
}

// eachServer dumps the servers of all backends, or of the one that is named.
func (c *client) eachServer(args []string, header string, appendRow func([]byte, *Proxy, *Row) []byte) message {
	proxies := c.node.Proxies()
	if len(args) > 0 {
		p := findBackend(proxies, args[0])
		if p == nil {
			return failed(cantFindOne)
		}
		proxies = []Proxy{*p}
	}
	c.printf("%s", header)
	for i := range proxies {
		p := &proxies[i]
		for j := range p.Servers {
			c.row = appendRow(c.row, p, &p.Servers[j])
			if !c.flushRow() {
				return message{}
			}
		}
	}
	return message{}
}

func appendServerState(dst []byte, p *Proxy, r *Row) []byte {
	host, port := splitAddr(r.Addr)
	return fmt.Appendf(dst, "%d %s %d %s %s %d %d %d %d %d %d %d %d %d 0 0 0 - %s - 0 0 - - 0",
		p.ID, p.Name, r.ID, r.Name, host, opState(r), adminState(r), r.Weight, r.InitialWeight, r.LastChange,
		checkCodes[r.CheckStatus], checkResult(r), r.CheckHealth, checkState(r), port)
}

func opState(r *Row) int {
	if strings.HasPrefix(r.Status, "DOWN") || strings.HasPrefix(r.Status, "MAINT") {
		return opStopped
	}
	return opRunning
}

func adminState(r *Row) int {
	switch {
	case r.Admin == "maint" && r.FromFile:
		return adminForcedMaint | adminConfigMaint
	case r.Admin == "maint":
		return adminForcedMaint
	case r.Admin == "drain":
		return adminForcedDrain
	}
	return 0
}

func checkResult(r *Row) int {
	code := checkCodes[r.CheckStatus]
	switch {
	case code < checkCodes["SOCKERR"]:
		return resultUnknown
	case strings.HasSuffix(r.CheckStatus, "OK") || r.CheckStatus == "L7OKC":
		return resultPassed
	}
	return resultFailed
}

func checkState(r *Row) int {
	switch {
	case r.Status == statusNoCheck:
		return 0
	case r.Admin == "maint":
		return checkConfigured | checkEnabled | checkPaused
	}
	return checkConfigured | checkEnabled
}

func showBackend(c *client, _ []string) message {
	c.printf("# name\n")
	for _, p := range c.node.Proxies() {
		if p.Kind == KindBackend {
			c.printf("%s\n", p.Name)
		}
	}
	return message{}
}
