package stats

import (
	"fmt"
	"strings"
)

// An infoField is one line of "show info". HAProxy's come first, in its order
// and with its positions; an absent value leaves its line out.
type infoField struct {
	name  string
	tags  string
	value value
	desc  string
}

func showInfo(c *client, args []string) message {
	var f format
	for _, word := range args {
		f.word(word) // others are ignored, as HAProxy does
	}
	info := c.node.Info()
	fields := infoFields(info, c.srv.idle.percent(info.Now, info.Start, info.Threads), f.float)
	if f.json {
		c.infoJSON(fields)
		return message{}
	}
	for pos, field := range fields {
		switch {
		case field.value.kind == "":
		case f.typed:
			c.printf("%d.%s.1:%s:%s:%s%s\n", pos, field.name, typedTags(field.tags), field.value.kind, field.value, f.describe(field.desc))
		default:
			c.printf("%s: %s%s\n", field.name, field.value, f.describe(field.desc))
		}
	}
	return message{}
}

func (c *client) infoJSON(fields []infoField) {
	comma := "["
	for pos, f := range fields {
		if f.value.kind == "" {
			continue
		}
		c.printf(`%s{"field":{"pos":%d,"name":"%s"},"processNum":1,%s,"value":{"type":"%s","value":%s}}`,
			comma, pos, f.name, jsonTags(f.tags), f.value.kind, f.value.json())
		comma = ","
	}
	c.printf("]\n")
}

// infoFields are all fields; those of HAProxy's features that imaplb does not
// have are zero. budget: a table, longer than a function should be otherwise.
func infoFields(i Info, idle int64, float bool) []infoField {
	up := i.Now.Sub(i.Start)
	sec := int64(up.Seconds())
	uptimeSec, startSec := u32(sec), u32(i.Start.Unix())
	if float {
		uptimeSec, startSec = flt(up.Seconds()), flt(float64(i.Start.UnixMicro())/1e6)
	}
	uptime := fmt.Sprintf("%dd %dh%02dm%02ds", sec/86400, sec/3600%24, sec/60%60, sec%60)
	return []infoField{
		{"Name", "POS", str("imaplb"), "Product name"},
		{"Version", "POS", str(i.Version), "Product version"},
		{"Release_date", "POS", str(i.ReleaseDate), "Date of the source"},
		{"Nbthread", "CGS", u32(int64(i.Threads)), "Event loops"},
		{"Nbproc", "CGS", u32(1), "Processes (always 1)"},
		{"Process_num", "KGP", u32(1), "Number of this process (always 1)"},
		{"Pid", "SGP", u32(int64(i.Pid)), "Process id"},
		{"Uptime", "MDP", str(uptime), "Time since the process started"},
		{"Uptime_sec", "MDP", uptimeSec, "Time since the process started (seconds)"},
		{"Memmax_MB", "CLP", u32(0), "Memory limit (0 = none)"},
		{"PoolAlloc_MB", "MGP", u32(i.SysBytes >> 20), "Memory taken from the system (MB)"},
		{"PoolUsed_MB", "MGP", u32(i.HeapBytes >> 20), "Heap in use (MB)"},
		{"PoolFailed", "MCP", u32(0), "Failed allocations"},
		{"Ulimit-n", "CLP", u32(int64(i.UlimitN)), "Limit of file descriptors"},
		{"Maxsock", "CLP", u32(int64(i.UlimitN)), "Limit of sockets"},
		{"Maxconn", "CLP", u32(int64(i.Maxconn)), "Limit of client connections"},
		{"Hard_maxconn", "CLP", u32(int64(i.HardMaxconn)), "Client connections the descriptors allow"},
		{"CurrConns", "MGP", u32(i.CurrConns), "Client connections now"},
		{"CumConns", "MCP", u64(i.CumConns), "Client connections since the start"},
		{"CumReq", "MCP", u64(i.CumReq), "Logins asked for since the start"},
		{"MaxSslConns", "CLP", u32(0), "Limit of TLS connections (0 = none)"},
		{"CurrSslConns", "MGP", u32(i.CurrSSL), "Client connections under TLS now"},
		{"CumSslConns", "MCP", u64(i.CumSSL), "Client connections under TLS since the start"},
		{"Maxpipes", "CLP", u32(0), "Limit of pipes"},
		{"PipesUsed", "MGP", u32(0), "Pipes in use"},
		{"PipesFree", "MGP", u32(0), "Pipes free"},
		{"ConnRate", "MRP", u32(i.ConnRate), "Client connections in the last second"},
		{"ConnRateLimit", "CLP", u32(0), "Limit of ConnRate (0 = none)"},
		{"MaxConnRate", "MMP", u32(i.ConnRateMax), "Highest ConnRate"},
		{"SessRate", "MRP", u32(i.SessRate), "Logins in the last second"},
		{"SessRateLimit", "CLP", u32(0), "Limit of SessRate (0 = none)"},
		{"MaxSessRate", "MMP", u32(i.SessRateMax), "Highest SessRate"},
		{"SslRate", "MRP", u32(i.SSLRate), "TLS handshakes in the last second"},
		{"SslRateLimit", "CLP", u32(0), "Limit of SslRate (0 = none)"},
		{"MaxSslRate", "MMP", u32(i.SSLRateMax), "Highest SslRate"},
		{"SslFrontendKeyRate", "MGP", u32(0), "Full TLS handshakes in the last second (not counted)"},
		{"SslFrontendMaxKeyRate", "MMP", u32(0), "Highest SslFrontendKeyRate"},
		{"SslFrontendSessionReuse_pct", "MGP", u32(percent(i.SSLReused, i.CumSSL)), "TLS handshakes that resumed a session (percent)"},
		{"SslBackendKeyRate", "MRP", u32(0), "Full TLS handshakes with servers in the last second (not counted)"},
		{"SslBackendMaxKeyRate", "MMP", u32(0), "Highest SslBackendKeyRate"},
		{"SslCacheLookups", "MCP", u32(0), "TLS session cache lookups"},
		{"SslCacheMisses", "MCP", u32(0), "TLS session cache misses"},
		{"CompressBpsIn", "MRP", u32(0), "Bytes to compress in the last second"},
		{"CompressBpsOut", "MRP", u32(0), "Bytes compressed in the last second"},
		{"CompressBpsRateLim", "CLP", u32(0), "Limit of CompressBpsOut"},
		{"ZlibMemUsage", "MGP", value{}, "Memory of the compressor"},
		{"MaxZlibMemUsage", "CLP", value{}, "Limit of ZlibMemUsage"},
		{"Tasks", "MGP", u32(int64(i.Goroutines)), "Goroutines"},
		{"Run_queue", "MGP", u32(0), "Tasks waiting to run"},
		{"Idle_pct", "MaP", u32(idle), "CPU share not used of late (percent)"},
		{"node", "COS", str(orDash(i.Node)), "Name of this node"},
		{"description", "COS", value{}, "Description of this node"},
		{"Stopping", "MGP", u32(bit(i.Stopping)), "1 if the process is stopping"},
		{"Jobs", "MGP", u32(i.CurrConns + int64(i.Listeners)), "Client connections and listeners now"},
		{"Unstoppable Jobs", "MGP", u32(0), "Jobs that keep the process from stopping"},
		{"Listeners", "MGP", u32(int64(i.Listeners)), "Listeners"},
		{"ActivePeers", "MGP", u32(i.PeersUp), "Peers connected that share all they have"},
		{"ConnectedPeers", "MGP", u32(i.Peers), "Peers connected"},
		{"DroppedLogs", "MCP", u32(i.DroppedLogs), "Log lines lost since the start"},
		{"BusyPolling", "MGP", u32(0), "1 if pollers never sleep"},
		{"FailedResolutions", "MCP", u32(0), "Failed name look-ups since the start"},
		{"TotalBytesOut", "MCP", u64(i.BytesOut), "Bytes to clients since the start"},
		{"TotalSplicedBytesOut", "MCP", u64(0), "Bytes moved by the kernel since the start"},
		{"BytesOutRate", "MRP", u64(i.BytesRate), "Bytes to clients in the last second"},
		{"DebugCommandsIssued", "MCP", u32(0), "Debug commands since the start"},
		{"CumRecvLogs", "MCP", u32(0), "Log lines received since the start"},
		{"Build info", "POS", str(i.Version), "Build"},
		{"Memmax_bytes", "CLP", u64(0), "Memory limit (0 = none)"},
		{"PoolAlloc_bytes", "MGP", u64(i.SysBytes), "Memory taken from the system (bytes)"},
		{"PoolUsed_bytes", "MGP", u64(i.HeapBytes), "Heap in use (bytes)"},
		{"Start_time_sec", "MTP", startSec, "When the process started (Unix time)"},
		{"Tainted", "SGP", str("0"), "Features that make the process unsafe"},
		{"TotalWarnings", "MCP", u32(0), "Warnings since the start"},
		{"MaxconnReached", "MCP", u32(i.MaxconnHits), "Times accepting paused at Maxconn"},
		{"BootTime_ms", "MDP", u32(0), "Time the process took to start (not measured)"},
		{"Niced_tasks", "MGP", u32(0), "Tasks of lower priority"},
		{"CurrStreams", "MGP", u64(i.CurrConns), "Sessions now"},
		{"CumStreams", "MCP", u64(i.CumConns), "Sessions since the start"},
		{"BlockedTrafficWarnings", "MCP", u32(0), "Times traffic was blocked"},
		{"PatternsAdded", "MCP", u32(0), "Patterns added"},
		{"PatternsFreed", "MCP", u32(0), "Patterns freed"},
		{"NbThreadGroups", "CGS", u32(1), "Thread groups (always 1)"},
		{"TotalBytesIn", "MCP", u64(i.BytesIn), "Bytes from clients since the start"},
		{"Heap_bytes", "MGP", u64(i.HeapBytes), "Heap in use (bytes)"},
		{"Goroutines", "MGP", u32(int64(i.Goroutines)), "Goroutines"},
		{"Ready", "SGP", u32(bit(i.Ready)), "1 while clients should be sent here"},
	}
}

// percent is part of whole in percent, 0 of nothing.
func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// orDash is s, or "-" where an empty word would be read as a missing one.
func orDash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}
