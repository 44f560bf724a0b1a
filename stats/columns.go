package stats

// A column is one field of "show stat".
type column struct {
	name string
	tags string
	on   string              // kinds of rows that have it: F, B and S
	get  func(l *line) value // nil if no row has it
	desc string
}

// columns are the fields of "show stat". Their order is their meaning for
// those who count commas: HAProxy's, with its spelling, and only appended to.
// Where a field means nothing for IMAP the value is what HAProxy shows for a
// proxy in mode tcp: zero, or nothing at all.
var columns = []column{
	{"pxname", "KNS", "FBS", func(l *line) value { return str(l.proxy.Name) }, "Proxy name"},
	{"svname", "KNS", "FBS", func(l *line) value { return str(l.row.Name) }, "FRONTEND, BACKEND or the server name"},
	{"qcur", "MGP", "BS", gauge(func(r *Row) int64 { return r.Qcur }), "Logins queued now"},
	{"qmax", "MMP", "BS", gauge(func(r *Row) int64 { return r.Qmax }), "Most logins queued at once"},
	{"scur", "MGP", "FBS", gauge(func(r *Row) int64 { return r.Scur }), "Sessions now"},
	{"smax", "MMP", "FBS", gauge(func(r *Row) int64 { return r.Smax }), "Most sessions at once"},
	{"slim", "CLP", "FBS", limit(func(r *Row) int64 { return r.Slim }), "Limit of sessions"},
	{"stot", "MCP", "FBS", counter(func(r *Row) int64 { return r.Stot }), "Sessions since the start"},
	{"bin", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bin }), "Bytes from clients since the start"},
	{"bout", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bout }), "Bytes to clients since the start"},
	{"dreq", "MCP", "FB", counter(func(r *Row) int64 { return r.Dreq }), "Requests refused"},
	{"dresp", "MCP", "FBS", zero64, "Responses refused"},
	{"ereq", "MCP", "F", counter(func(r *Row) int64 { return r.Ereq }), "Malformed requests"},
	{"econ", "MCP", "BS", counter(func(r *Row) int64 { return r.Econ }), "Failed connections to servers"},
	{"eresp", "MCP", "BS", counter(func(r *Row) int64 { return r.Eresp }), "Malformed or missing responses"},
	{"wretr", "MCP", "BS", counter(func(r *Row) int64 { return r.Wretr }), "Connections tried again"},
	{"wredis", "MCP", "BS", counter(func(r *Row) int64 { return r.Wredis }), "Sessions moved to another server"},
	{"status", "SGP", "FBS", func(l *line) value { return str(l.row.Status) }, "State of the frontend, backend or server"},
	{"weight", "MaP", "BS", gauge(func(r *Row) int64 { return int64(r.Effective) }), "Weight in force"},
	{"act", "SGP", "BS", gauge(func(r *Row) int64 { return int64(r.Act) }), "Active servers"},
	{"bck", "SGP", "BS", gauge(func(r *Row) int64 { return int64(r.Bck) }), "Backup servers"},
	{"chkfail", "MCP", "S", checked(counter(func(r *Row) int64 { return r.ChkFail })), "Failed checks"},
	{"chkdown", "MCP", "BS", checked(counter(func(r *Row) int64 { return r.ChkDown })), "Changes from UP to DOWN"},
	{"lastchg", "MAP", "BS", checked(gauge(func(r *Row) int64 { return r.LastChange })), "Seconds since the state changed"},
	{"downtime", "MCP", "BS", checked(gauge(func(r *Row) int64 { return r.Downtime })), "Seconds spent DOWN"},
	{"qlimit", "CLP", "S", limit(func(r *Row) int64 { return r.Qlimit }), "Limit of queued logins"},
	{"pid", "KGP", "FBS", constant(u32(1)), "Number of the process (always 1)"},
	{"iid", "KGS", "FBS", func(l *line) value { return u32(int64(l.proxy.ID)) }, "Proxy id"},
	{"sid", "KGS", "FBS", gauge(func(r *Row) int64 { return int64(r.ID) }), "Server id"},
	{"throttle", "CSP", "S", limit(func(r *Row) int64 { return int64(r.Throttle) }), "Per cent of the weight while it starts slowly"},
	{"lbtot", "MCP", "BS", counter(func(r *Row) int64 { return r.Lbtot }), "Times chosen by load balancing"},
	{name: "tracked"},
	{"type", "CGS", "FBS", func(l *line) value { return u32(int64(l.kind)) }, "0 frontend, 1 backend, 2 server"},
	{"rate", "MRP", "FBS", gauge(func(r *Row) int64 { return r.Rate }), "Sessions in the last second"},
	{"rate_lim", "CLP", "F", zero32, "Limit of sessions per second (0 = none)"},
	{"rate_max", "MMP", "FBS", gauge(func(r *Row) int64 { return r.RateMax }), "Most sessions in a second"},
	{"check_status", "MOP", "S", reported(func(r *Row) value { return str(r.CheckStatus) }), "Result of the last check"},
	{name: "check_code"},
	{"check_duration", "MDP", "S", reported(func(r *Row) value { return u64(r.CheckDuration) }), "Milliseconds the last check took"},
	{name: "hrsp_1xx"},
	{name: "hrsp_2xx"},
	{name: "hrsp_3xx"},
	{name: "hrsp_4xx"},
	{name: "hrsp_5xx"},
	{name: "hrsp_other"},
	{"hanafail", "MCP", "S", limit(func(r *Row) int64 { return r.Hanafail }), "Failures of users' logins that were observed"},
	{"req_rate", "MRP", "F", zero32, "HTTP requests in the last second"},
	{"req_rate_max", "MMP", "F", zero32, "Most HTTP requests in a second"},
	{"req_tot", "MCP", "F", zero64, "HTTP requests since the start"},
	{"cli_abrt", "MCP", "BS", counter(func(r *Row) int64 { return r.CliAbrt }), "Sessions ended by the client without logout"},
	{"srv_abrt", "MCP", "BS", counter(func(r *Row) int64 { return r.SrvAbrt }), "Sessions ended by the server without logout"},
	{"comp_in", "MCP", "FB", zero64, "Bytes to compress"},
	{"comp_out", "MCP", "FB", zero64, "Bytes compressed"},
	{"comp_byp", "MCP", "FB", zero64, "Bytes not compressed"},
	{"comp_rsp", "MCP", "FB", zero64, "Responses compressed"},
	{"lastsess", "MAP", "BS", func(l *line) value { return s32(l.row.Lastsess) }, "Seconds since the last session (-1 = never)"},
	{"last_chk", "MOP", "S", reported(func(r *Row) value { return str(r.LastChk) }), "What the last check met"},
	{"last_agt", "MOP", "S", agent(func(r *Row) value { return str(r.AgentDesc) }), "What the agent last said"},
	{"qtime", "MaP", "BS", gauge(func(r *Row) int64 { return r.Qtime }), "Milliseconds queued, average of the last 1024"},
	{"ctime", "MaP", "BS", gauge(func(r *Row) int64 { return r.Ctime }), "Milliseconds to connect, average of the last 1024"},
	{"rtime", "MaP", "BS", zero32, "Milliseconds to the first response (0 for TCP)"},
	{"ttime", "MaP", "BS", gauge(func(r *Row) int64 { return r.Ttime }), "Milliseconds of a session, average of the last 1024"},
	{"agent_status", "MOP", "S", agent(func(r *Row) value { return str(r.AgentStatus) }), "Result of the last talk with the agent"},
	{name: "agent_code"},
	{"agent_duration", "MDP", "S", agent(func(r *Row) value { return u64(r.AgentDuration) }), "Milliseconds the last talk with the agent took"},
	{"check_desc", "MOP", "S", reported(func(r *Row) value { return str(r.CheckDesc) }), "Result of the last check in words"},
	{"agent_desc", "MOP", "S", agent(func(r *Row) value { return str(r.AgentDesc) }), "What the agent last said, in words"},
	{"check_rise", "CGS", "S", reported(func(r *Row) value { return u32(int64(r.CheckRise)) }), "Good checks until UP"},
	{"check_fall", "CGS", "S", reported(func(r *Row) value { return u32(int64(r.CheckFall)) }), "Failed checks until DOWN"},
	{"check_health", "SGP", "S", reported(func(r *Row) value { return u32(int64(r.CheckHealth)) }), "Health, 0 to rise+fall-1"},
	{"agent_rise", "CGS", "S", agent(func(*Row) value { return u32(1) }), "Good words of the agent until UP"},
	{"agent_fall", "CGS", "S", agent(func(*Row) value { return u32(1) }), "Bad words of the agent until DOWN"},
	{"agent_health", "SGP", "S", agent(func(r *Row) value {
		if r.AgentUp {
			return u32(1)
		}
		return u32(0)
	}), "Health by the agent, 0 or 1"},
	{"addr", "CGS", "S", contents(func(l *line) value { return str(l.row.Addr) }), "Address (level operator)"},
	{name: "cookie"},
	{"mode", "CGS", "FBS", constant(str("tcp")), "Mode; tcp, which dashboards know"},
	{"algo", "CGS", "B", contents(func(l *line) value { return str(l.proxy.Algo) }), "Algorithm (level operator)"},
	{"conn_rate", "MRP", "F", gauge(func(r *Row) int64 { return r.ConnRate }), "Connections in the last second"},
	{"conn_rate_max", "MMP", "F", gauge(func(r *Row) int64 { return r.ConnRateMax }), "Most connections in a second"},
	{"conn_tot", "MCP", "F", counter(func(r *Row) int64 { return r.ConnTot }), "Connections since the start"},
	{name: "intercepted"},
	{"dcon", "MCP", "F", counter(func(r *Row) int64 { return r.Dcon }), "Connections refused"},
	{"dses", "MCP", "F", zero64, "Sessions refused"},
	{"wrew", "MCP", "FBS", zero64, "Failed header rewrites"},
	{"connect", "MCP", "BS", counter(func(r *Row) int64 { return r.Connect }), "Connections tried"},
	{"reuse", "MCP", "BS", zero64, "Connections used again"},
	{name: "cache_lookups"},
	{name: "cache_hits"},
	{"srv_icur", "MGP", "S", zero32, "Idle connections"},
	{name: "src_ilim"},
	{"qtime_max", "MMP", "BS", gauge(func(r *Row) int64 { return r.QtimeMax }), "Most milliseconds queued"},
	{"ctime_max", "MMP", "BS", gauge(func(r *Row) int64 { return r.CtimeMax }), "Most milliseconds to connect"},
	{"rtime_max", "MMP", "BS", zero32, "Most milliseconds to the first response"},
	{"ttime_max", "MMP", "BS", gauge(func(r *Row) int64 { return r.TtimeMax }), "Most milliseconds of a session"},
	{"eint", "MCP", "FBS", counter(func(r *Row) int64 { return r.Eint }), "Internal errors"},
	{"idle_conn_cur", "MGP", "S", zero32, "Unsafe idle connections"},
	{"safe_conn_cur", "MGP", "S", zero32, "Safe idle connections"},
	{"used_conn_cur", "MGP", "S", gauge(func(r *Row) int64 { return r.Scur }), "Connections in use"},
	{"need_conn_est", "MGP", "S", gauge(func(r *Row) int64 { return r.Scur }), "Connections needed"},
	{"uweight", "MaP", "BS", gauge(func(r *Row) int64 { return int64(r.Weight) }), "Weight set"},
	{"agg_server_status", "MGP", "B", zero32, "Not aggregated"},
	{"agg_server_check_status", "MGP", "B", zero32, "Not aggregated"},
	{"agg_check_status", "MGP", "B", zero32, "Not aggregated"},
	{"srid", "MGP", "S", zero32, "Revision of the server id"},
	{"sess_other", "MCP", "F", counter(func(r *Row) int64 { return r.Stot }), "Sessions other than HTTP"},
	{name: "h1sess"},
	{name: "h2sess"},
	{name: "h3sess"},
	{name: "req_other"},
	{name: "h1req"},
	{name: "h2req"},
	{name: "h3req"},
	{name: "proto"},
	{name: "priv_idle_cur"},
	{"reqbin", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bin }), "Bytes received from clients"},
	{"reqbout", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bin }), "Bytes passed on to servers"},
	{"resbin", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bout }), "Bytes received from servers"},
	{"resbout", "MCP", "FBS", counter(func(r *Row) int64 { return r.Bout }), "Bytes passed on to clients"},
	{name: "cache_hint_hits"},
}

// imapColumns are ours. They stand behind the column "-", where HAProxy has
// those of its modules; in typed output they go on counting.
var imapColumns = []column{
	{"auth_ok", "MCP", "FBS", counter(func(r *Row) int64 { return r.AuthOK }), "Logins accepted"},
	{"auth_fail", "MCP", "FBS", counter(func(r *Row) int64 { return r.AuthFail }), "Logins with wrong credentials"},
	{"auth_temp", "MCP", "FBS", counter(func(r *Row) int64 { return r.AuthTemp }), "Logins that failed for a while"},
	{"auth_limit", "MCP", "FBS", counter(func(r *Row) int64 { return r.AuthLimit }), "Logins refused by a limit"},
	{"login_timeout", "MCP", "FBS", counter(func(r *Row) int64 { return r.LoginTimeout }), "Logins not finished in time"},
	{"login_proto", "MCP", "FBS", counter(func(r *Row) int64 { return r.LoginProto }), "Logins ended by a protocol error"},
	{"tls_cur", "MGP", "F", gauge(func(r *Row) int64 { return r.TLS }), "Connections under TLS now"},
	{"login_cur", "MGP", "S", gauge(func(r *Row) int64 { return r.Logins }), "Logins under way now"},
	{"login_max", "MMP", "S", gauge(func(r *Row) int64 { return r.LoginMax }), "Most logins under way at once"},
	{"login_lim", "CLP", "S", limit(func(r *Row) int64 { return r.LoginLimit }), "Limit of logins under way"},
	{"tls_fail", "MCP", "F", counter(func(r *Row) int64 { return r.TLSFailed }), "TLS handshakes that failed"},
	{"cert_fail", "MCP", "F", counter(func(r *Row) int64 { return r.BadCerts }), "TLS handshakes ended for the client's certificate"},
}

// zero32 and zero64 are fields of what imaplb does not have.
func zero32(*line) value { return u32(0) }
func zero64(*line) value { return u64(0) }

func constant(v value) func(*line) value { return func(*line) value { return v } }

func gauge(f func(*Row) int64) func(*line) value {
	return func(l *line) value { return u32(f(l.row)) }
}

func counter(f func(*Row) int64) func(*line) value {
	return func(l *line) value { return u64(f(l.row)) }
}

// limit is a gauge that is absent where there is no limit.
func limit(f func(*Row) int64) func(*line) value {
	return func(l *line) value {
		if f(l.row) <= 0 {
			return value{}
		}
		return u32(f(l.row))
	}
}

// checked is a field that a server without checks does not have.
func checked(get func(*line) value) func(*line) value {
	return func(l *line) value {
		if l.row.Status == statusNoCheck {
			return value{}
		}
		return get(l)
	}
}

// reported is a field of a server whose checks have said something, this too.
func reported(f func(*Row) value) func(*line) value {
	return func(l *line) value {
		v := f(l.row)
		if l.row.CheckStatus == "" || v.kind == "str" && v.text == "" {
			return value{}
		}
		return v
	}
}

// agent is a field of a server with an agent.
func agent(f func(*Row) value) func(*line) value {
	return func(l *line) value {
		v := f(l.row)
		if l.row.AgentStatus == "" || v.kind == "str" && v.text == "" {
			return value{}
		}
		return v
	}
}

// contents is a field for operators and above.
func contents(get func(*line) value) func(*line) value {
	return func(l *line) value {
		if l.level < levelOperator {
			return value{}
		}
		return get(l)
	}
}
