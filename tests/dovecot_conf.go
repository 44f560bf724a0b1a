package tests

// dovecotConf is a Dovecot behind a proxy it trusts: it takes the client's
// address from ID, lets everybody log in without TLS, and has no limit that
// some thousand logins in a row would meet.
const dovecotConf = `
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/run
protocols = imap
listen = {{.Listen}}
log_path = {{.Dir}}/dovecot.log
verbose_proctitle = yes
login_greeting = Dovecot ready.
login_trusted_networks = 127.0.0.0/8 10.77.0.0/16
haproxy_trusted_networks = 127.0.0.0/8 10.77.0.0/16
default_internal_user = {{.Internal}}
default_internal_group = {{.InternalGroup}}
default_login_user = {{.LoginUser}}
first_valid_uid = 1
first_valid_gid = 1

ssl = yes
ssl_cert = <{{.Cert}}
ssl_key = <{{.Key}}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
auth_username_format = %Lu
mail_max_userip_connections = 100000
mail_location = maildir:{{.Dir}}/mail/%u

passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {{.Dir}}/oauth2.conf
}
passdb {
  driver = passwd-file
  mechanisms = plain login
  args = username_format=%u {{.Dir}}/users
}
passdb {
  driver = static
  mechanisms = plain login
  args = password=` + password + `
}
userdb {
  driver = static
  args = uid={{.Mail}} gid={{.Group}} home={{.Dir}}/mail/%u allow_all_users=yes
}

service imap-login {
  service_count = 0
  client_limit = 10000
  process_min_avail = 1
  chroot =
  inet_listener imap {
    port = {{.Port}}
  }
  inet_listener imaps {
    port = {{.TLSPort}}
    ssl = yes
  }
  inet_listener proxied {
    port = {{.ProxyPort}}
    haproxy = yes
  }
}
service imap {
  user = {{.Mail}}
  service_count = 10000
  client_limit = {{.Sessions}}
  process_limit = 5000
  process_min_avail = 2
}
service auth {
  client_limit = 15000
}
service anvil {
  client_limit = 15000
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  client_limit = 15000
  chroot =
}
`
