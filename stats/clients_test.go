package stats

import (
	"bufio"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests of this file are what the programs that read HAProxy's socket rely
// on, each as that program reads it.

// hatop switches to prompt mode and reads until "> "; it leaves if one of its
// keys is missing, and cuts rows at each comma.
func TestHatop(t *testing.T) {
	conn := dial(t, start(t, newSnapshot(), "admin"))
	r := bufio.NewReader(conn)
	send := func(command string) string {
		io.WriteString(conn, command+"\n")
		return until(t, r, "\n> ")
	}
	if got := send("prompt"); got != "\n> " {
		t.Fatalf("prompt: %q", got)
	}
	if got := send("set timeout cli 60"); got != "\n> " {
		t.Fatalf("set timeout: %q", got)
	}
	info := infoKeys(send("show info"))
	for _, key := range []string{"Name", "Version", "Release_date", "Nbproc", "Process_num", "Pid", "Uptime", "Maxconn", "CurrConns",
		"Maxpipes", "PipesUsed", "Tasks", "Run_queue", "node"} {
		if info[key] == "" {
			t.Errorf("show info has no %s", key)
		}
	}
	words := map[int]bool{0: true, 1: true, 17: true, 31: true, 36: true}
	for row := range strings.Lines(strings.TrimSuffix(send("show stat"), "\n\n> ")) {
		cells := strings.Split(row, ",")
		if len(cells) < 52 {
			t.Fatalf("row of %d cells: %s", len(cells), row)
		}
		for i, cell := range cells[:51] {
			if strings.HasPrefix(row, "# ") || words[i] || cell == "" {
				continue
			}
			if _, err := strconv.ParseInt(cell, 10, 64); err != nil {
				t.Errorf("column %d of %q: %v", i, row, err)
			}
		}
	}
	for _, command := range []string{"disable server mail/mail1", "enable server mail/mail1", "set server mail/mail1 state drain", "set weight mail/mail1 100%"} {
		if got := send(command); got != "\n> " {
			t.Errorf("%s: %q", command, got)
		}
	}
	if got := send("show stat 3 4 1"); strings.Count(got, "\n") != 3 {
		t.Errorf("show stat 3 4 1: %q", got)
	}
	io.WriteString(conn, "quit\n")
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("quit: %q, %v", rest, err)
	}
}

func infoKeys(answer string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(answer) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			info[key] = value
		}
	}
	return info
}

// csvRows cuts an answer without quoted commas into cells.
func csvRows(t *testing.T, answer string) (header []string, rows [][]string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSuffix(answer, "\n")) {
		line = strings.ReplaceAll(line, `"Connection refused, ""again"" "`, "quoted")
		cells := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		if header == nil {
			header = cells
			continue
		}
		rows = append(rows, cells)
	}
	return header, rows
}

// telegraf wants a header and rows of one length, and reads to the end.
func TestTelegraf(t *testing.T) {
	answer := ask(t, start(t, newSnapshot(), "user"), "show stat\n")
	header, rows := csvRows(t, answer)
	if !strings.HasPrefix(header[0], "# ") {
		t.Errorf("header begins with %q", header[0])
	}
	if want := len(columns) + 1 + len(imapColumns) + 1; len(header) != want {
		t.Errorf("%d cells in the header, want %d", len(header), want)
	}
	if len(rows) != 8 {
		t.Errorf("%d rows, want 8", len(rows))
	}
	for _, row := range rows {
		if len(row) != len(header) {
			t.Errorf("row of %d cells, header of %d", len(row), len(header))
		}
		if kind := row[32]; !slices.Contains([]string{"0", "1", "2", "3"}, kind) {
			t.Errorf("type %q", kind)
		}
	}
}

// The columns are found by their place or their name; neither may change.
func TestColumnOrder(t *testing.T) {
	const header = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck," +
		"chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code," +
		"check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt," +
		"comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration," +
		"check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate," +
		"conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max," +
		"rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status," +
		"agg_server_check_status,agg_check_status,srid,sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,priv_idle_cur," +
		"reqbin,reqbout,resbin,resbout,cache_hint_hits,-,auth_ok,auth_fail,auth_temp,auth_limit,login_timeout,login_proto,tls_cur,login_cur,login_max,login_lim,tls_fail,cert_fail,"
	got, _, _ := strings.Cut(ask(t, start(t, newSnapshot(), "user"), "show stat\n"), "\n")
	if got != "# "+header {
		t.Errorf("header\n%s\nwant\n# %s", got, header)
	}
	if len(columns) != 119 {
		t.Errorf("%d columns before the dash, want 119", len(columns))
	}
	for i, col := range slices.Concat(columns, imapColumns) {
		if (col.get == nil) != (col.tags == "") || col.get != nil && (len(col.tags) != 3 || col.on == "" || col.desc == "") {
			t.Errorf("column %d, %s: incomplete", i, col.name)
		}
	}
}

// The Datadog agent joins its commands and ends them with CR LF, cuts the
// answer at the empty line, and splits each line up to Uptime_sec at its colon.
func TestDatadog(t *testing.T) {
	s := start(t, newSnapshot(), "operator")
	blocks := strings.Split(strings.TrimSuffix(ask(t, s, "show info;show stat\r\n"), "\n\n"), "\n\n")
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want 2", len(blocks))
	}
	for line := range strings.Lines(blocks[0]) {
		if strings.Count(line, ":") != 1 {
			t.Errorf("not one colon: %q", line)
		}
		if strings.HasPrefix(line, "Uptime_sec") {
			break
		}
	}
	if version := infoKeys(blocks[0])["Version"]; !regexp.MustCompile(`^\d+\.\d+\.`).MatchString(version) {
		t.Errorf("version %q", version)
	}
	_, rows := csvRows(t, blocks[1]+"\n")
	open := ""
	for _, row := range rows {
		switch name, kind := row[0], row[1]; {
		case kind == "FRONTEND" && open != "", kind == "BACKEND" && open != "" && open != name:
			t.Errorf("row %s,%s within the servers of %s", name, kind, open)
		case kind == "BACKEND":
			open = ""
		case kind != "FRONTEND":
			open = name
		}
	}
	table := regexp.MustCompile(`^# table: ([^ ,]+), type: ([^ ,]+), size:(\d+), used:(\d+)$`)
	lines := strings.Split(strings.TrimSuffix(ask(t, s, "show table\r\n"), "\n\n"), "\n")
	if len(lines) != 2 || !table.MatchString(lines[0]) || !table.MatchString(lines[1]) {
		t.Errorf("show table: %q", lines)
	}
}

// The Prometheus exporter reads by position and knows few status texts.
func TestExporter(t *testing.T) {
	s := start(t, newSnapshot(), "user")
	info := infoKeys(ask(t, s, "show info\n"))
	for _, key := range []string{"Version", "Release_date", "Idle_pct"} {
		if info[key] == "" {
			t.Errorf("show info has no %s", key)
		}
	}
	_, rows := csvRows(t, ask(t, s, "show stat\n"))
	for _, row := range rows {
		for _, i := range []int{2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 18, 21, 24, 30, 33, 34, 35, 39, 40, 41, 42, 43, 44,
			48, 49, 50, 51, 52, 53, 54, 58, 59, 60, 61, 79} {
			if _, err := strconv.ParseInt(row[i], 10, 64); err != nil && row[i] != "" {
				t.Errorf("%s/%s column %d: %q", row[0], row[1], i, row[i])
			}
		}
	}
}

// The data plane API sends one command per connection, with the severity in
// front of messages, and takes [0] to [3] for errors.
func TestClientNative(t *testing.T) {
	s := start(t, newSnapshot(), "admin")
	native := func(command string) string {
		return strings.TrimSpace(ask(t, s, "set severity-output number;"+command+"\n"))
	}
	if got := native("get weight mail/nope"); got != "[3]: No such server." {
		t.Errorf("error: %q", got)
	}
	if got := native("set server mail/mail1 state drain"); got != "" {
		t.Errorf("success: %q", got)
	}
	lines := strings.Split(native("show servers state mail"), "\n")
	if lines[0] != "1" || !strings.HasPrefix(lines[1], "# be_id ") || len(lines) != 5 {
		t.Fatalf("show servers state: %q", lines)
	}
	for _, line := range lines[2:] {
		if n := len(strings.Split(line, " ")); n != 25 {
			t.Errorf("%d fields: %q", n, line)
		}
	}
	if got := strings.TrimSpace(ask(t, s, "@1 show info typed;quit\n")); !strings.Contains(got, "\n1.Version.1:POSV:str:3.") || !strings.Contains(got, "\n6.Pid.1:SGPV:u32:4711\n") {
		t.Errorf("show info typed: %.200q", got)
	}
	header, rows := csvRows(t, native("show stat")[2:]+"\n")
	for _, row := range rows {
		if len(row) < len(header) {
			t.Errorf("row of %d cells, header of %d", len(row), len(header))
		}
	}
	if got := native("set table users key eve data.server_id 1"); got != "" {
		t.Errorf("set table: %q", got)
	}
	if got := native("show table users key eve"); !strings.Contains(got, "key=eve ") {
		t.Errorf("show table: %q", got)
	}
	if got := native("help"); !strings.HasPrefix(got, "[6]: The following commands are valid at this level:\n") {
		t.Errorf("help: %.80q", got)
	}
}
