package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/template"
)

// The proxies run with their own defaults. Set is only what must be equal or
// what the task needs: ports, certificate, TLS 1.3 with one cipher, a thread
// or process per CPU, no session limit below the descriptors, no log.

const haproxyConfig = `global
    nbthread {{.Threads}}
    maxconn {{.Sessions}}
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
    mode tcp
    maxconn {{.Sessions}}
    timeout connect 5s
    timeout client 31m
    timeout server 31m
frontend plain
    bind 127.0.0.1:{{.Plain}}
    default_backend mail
frontend tls
    bind 127.0.0.1:{{.TLS}} ssl crt {{.Cert}}
    default_backend mail
backend mail
    server s1 {{.Server}}
`

const nginxConfig = `daemon off;
worker_processes {{.Threads}};
worker_rlimit_nofile {{.Limit}};
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/log crit;
{{if .Module}}load_module {{.Module}};
{{end}}events { worker_connections {{.Limit}}; }
mail {
    auth_http {{.Auth}}/auth;
    imap_capabilities IMAP4rev1 LITERAL+ SASL-IR ID IDLE;
    proxy_timeout 31m;
    ssl_certificate {{.Cert}};
    ssl_certificate_key {{.Cert}};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    server { listen 127.0.0.1:{{.Plain}}; protocol imap; }
    server { listen 127.0.0.1:{{.TLS}} ssl; protocol imap; }
}
`

const imaplbConfig = `[global]
state_dir = ""
log_level = "warn"
[stats]
socket = "{{.Dir}}/imaplb.sock"
[frontend.plain]
bind = ["127.0.0.1:{{.Plain}}"]
tls = "none"
backend = "mail"
[frontend.tls]
bind = ["127.0.0.1:{{.TLS}}"]
tls = "implicit"
certs = [{ cert = "{{.Cert}}", key = "{{.Cert}}" }]
backend = "mail"
[backend.mail.server.s1]
addr = "{{.Server}}"
`

// configValues is what the templates show.
type configValues struct {
	Dir, Cert, Server, Auth, Module      string
	Plain, TLS, Threads, Sessions, Limit int
}

// writeConfig fills text and returns the path of the file.
func writeConfig(text, dir string, s site) (string, error) {
	path := filepath.Join(dir, "config")
	return path, fillTemplate(text, path, newConfigValues(dir, s))
}

func newConfigValues(dir string, s site) configValues {
	v := configValues{
		Dir: dir, Cert: s.cert, Server: s.server.plain, Auth: s.server.auth, Plain: s.plain, TLS: s.tls,
		Threads: runtime.NumCPU(), Sessions: (s.limit - 100) / 2, Limit: s.limit,
	}
	const module = "/usr/lib/nginx/modules/ngx_mail_module.so"
	if _, err := os.Stat(module); err == nil {
		v.Module = module
	}
	return v
}

func fillTemplate(text, path string, values any) error {
	t, err := template.New("config").Parse(text)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.Execute(f, values)
}

func writeHAProxy(k proxyKind, dir string, s site) ([]string, error) {
	path, err := writeConfig(haproxyConfig, dir, s)
	return []string{k.binary, "-db", "-q", "-f", path}, err
}

func writeNginx(k proxyKind, dir string, s site) ([]string, error) {
	path, err := writeConfig(nginxConfig, dir, s)
	return []string{k.binary, "-p", dir, "-e", filepath.Join(dir, "log"), "-c", path}, err
}

func writeImaplb(k proxyKind, dir string, s site) ([]string, error) {
	path, err := writeConfig(imaplbConfig, dir, s)
	return []string{k.binary, "run", "-f", path}, err
}

// collectImaplb has the runtime collect garbage and return what is free.
func collectImaplb(k proxyKind, dir string) error {
	out, err := exec.Command(k.binary, "ctl", "-s", filepath.Join(dir, "imaplb.sock"), "debug gc").CombinedOutput()
	if err != nil {
		return fmt.Errorf("imaplb ctl 'debug gc': %w: %.200s", err, out)
	}
	return nil
}

// writeServer runs the light server.
func writeServer(k proxyKind, _ string, s site) ([]string, error) {
	return []string{k.binary, "imapd", "-plain", loopback(s.plain), "-tls", loopback(s.tls),
		"-auth", s.server.auth, "-cert", s.cert}, nil
}

// writeDirect runs no proxy at all but another light server on the proxy's
// ports: what the server itself costs, and how fast the load could be.
func writeDirect(k proxyKind, dir string, s site) ([]string, error) {
	s.server.auth = "127.0.0.1:0"
	return writeServer(k, dir, s)
}
