package conf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// testHost is what the files in testdata are judged by.
var testHost = host{now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), descriptors: 20_000}

// writeCerts fills a directory with what the files in testdata refer to.
func writeCerts(t *testing.T, dir string) {
	t.Helper()
	writeCert(t, dir, "ok", "", 2036)
	writeCert(t, dir, "expired", "", 2020)
	writeCert(t, dir, "many", strings.Repeat("x", 64_000), 2036)
	writeFile(t, dir, "junk.pem", "no certificate\n")
	writeFile(t, dir, "large.pem", strings.Repeat("\x00", maxFile+1))
	writeFile(t, dir, "ok.pass", "fake-password\n")
	writeFile(t, dir, "ok.peers", "# no secret\n"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
	writeFile(t, dir, "bad.peers", "\nnot base64!\n")
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCert writes NAME.pem and NAME.key for a subject, valid until February of a
// year.
func writeCert(t *testing.T, dir, name, subject string, year int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, DNSNames: []string{"imap.example.org"},
		NotBefore: time.Date(2019, 2, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(year, 2, 1, 0, 0, 0, 0, time.UTC),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", cert)
	writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", der)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loadIn loads a text as the file dir/name.
func loadIn(dir, name, src string) (*Config, error) {
	return load(filepath.Join(dir, name), src, testHost)
}

var update = flag.Bool("update", false, "write the expected faults and dumps anew: read the diff")

// golden compares text with the file beside a sample; dir in it is $DIR, or
// nothing at the start of a line.
func golden(t *testing.T, path, dir, got string) {
	t.Helper()
	got = strings.ReplaceAll(strings.ReplaceAll("\n"+got, "\n"+dir+"/", "\n"), dir, "$DIR")
	got = strings.TrimSpace(got)
	if *update {
		if err := os.WriteFile(path, []byte(strings.TrimLeft(got+"\n", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.TrimSpace(string(want)) {
		t.Errorf("got:\n%s\n\nwant, by %s:\n%s", got, path, want)
	}
}

// samples calls f for each file of testdata that matches.
func samples(t *testing.T, pattern string, f func(t *testing.T, path, src string)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) { f(t, file, string(src)) })
	}
}

func TestBadFilesReportEveryFault(t *testing.T) {
	dir := t.TempDir()
	writeCerts(t, dir)
	samples(t, "testdata/bad/*.toml", func(t *testing.T, path, src string) {
		_, err := loadIn(dir, filepath.Base(path), src)
		var faults Faults
		if !errors.As(err, &faults) {
			t.Fatalf("error %v, want Faults", err)
		}
		golden(t, strings.TrimSuffix(path, ".toml")+".txt", dir, faults.Error())
	})
}

func TestGoodFilesLoadAndDumpLoadsBack(t *testing.T) {
	dir := t.TempDir()
	writeCerts(t, dir)
	samples(t, "testdata/good/*.toml", func(t *testing.T, path, src string) {
		c, err := loadIn(dir, filepath.Base(path), src)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(path, ".toml")+".warnings", dir, c.Warnings.Error())
		var dump bytes.Buffer
		if err := c.Dump(&dump); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(path, ".toml")+".dump", dir, dump.String())
		again, err := load("/elsewhere/dump.toml", dump.String(), testHost)
		if err != nil {
			t.Fatalf("the dump does not load: %v\n%s", err, dump.String())
		}
		again.Warnings, again.source = c.Warnings, c.source // they name the other file
		if !reflect.DeepEqual(c, again) {
			t.Errorf("the dump loads to something else:\n%+v\n%+v", c, again)
		}
	})
}

func TestLoadReadsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "imaplb.toml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: error %v", err)
	}
	src, err := os.ReadFile("testdata/good/minimal.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, src, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Backend("mail") == nil || c.Backend("mial") != nil || c.StickTable("users") == nil || c.StickTable("user") != nil {
		t.Errorf("loaded %+v", c)
	}
}

// TestEveryKeyHasADefaultThatObeysItsRule also keeps rules and keys in step.
func TestEveryKeyHasADefaultThatObeysItsRule(t *testing.T) {
	seen := map[string]bool{}
	r := &report{faulty: map[string]bool{}}
	var walk func(p place, v reflect.Value)
	walk = func(p place, v reflect.Value) {
		for _, f := range fields(v) {
			at, kind := p.key(f.key), f.value.Kind()
			at.path = at.rule
			_, hasRule := rules[at.rule]
			seen[at.rule] = true
			switch {
			case kind == reflect.Struct:
				walk(at, f.value)
			case kind == reflect.Slice && isKeyed(f.value.Type().Elem()):
				walk(at.name("*"), reflect.ValueOf(defaults[f.value.Type().Elem()]))
			case kind == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct:
				for _, inside := range fields(reflect.New(f.value.Type().Elem()).Elem()) {
					seen[at.index(0).key(inside.key).rule] = true // its elements have no defaults
				}
			case !hasRule && (kind == reflect.Int || kind == reflect.Int64):
				t.Errorf("%s has no rule", at.rule)
			case kind == reflect.Int64:
				r.checkDuration(at, time.Duration(f.value.Int()))
			case kind == reflect.Int:
				r.checkRange(at, f.value.Int())
			case kind == reflect.String && at.rule != "frontend.*.tls": // that one follows from certs
				r.checkWord(at, f.value.String())
			}
		}
	}
	walk(place{}, reflect.ValueOf(*defaultConfig()))
	if len(r.faults) > 0 {
		t.Errorf("defaults out of range:\n%s", r.faults.Error())
	}
	for rule := range rules {
		if !seen[rule] {
			t.Errorf("rule %s is of no key", rule)
		}
	}
}

func TestHardMaxconnLeavesRoomForTheRest(t *testing.T) {
	c, err := loadIn(t.TempDir(), "x.toml", `
frontend.f = { bind = [":1", ":2"], backend = "b" }
backend.b.server = { s1 = { addr = "a:1" }, s2 = { addr = "a:2" }, s3 = { addr = "a:3" } }`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.HardMaxconn(1000), (1000-100-2-6)/2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := c.HardMaxconn(10); got >= 1 {
		t.Errorf("10 descriptors are said to be enough for %d sessions", got)
	}
	_, err = load("x.toml", `
frontend.f = { bind = [":1"], backend = "b" }
backend.b.server.s = { addr = "a:1" }`, host{now: testHost.now, descriptors: 103})
	const want = "x.toml: global.maxconn: RLIMIT_NOFILE of 103 descriptors leaves no connection"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// FuzzLoad: no text is too odd, and what loads can be dumped and loaded again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src string) {
		c, err := loadIn(dir, "fuzz.toml", src)
		if err != nil {
			if text := err.Error(); text == "" {
				t.Error("an error without a text")
			}
			return
		}
		var dump bytes.Buffer
		if err := c.Dump(&dump); err != nil {
			t.Fatal(err)
		}
		again, err := loadIn(dir, "dump.toml", dump.String())
		if err != nil {
			t.Fatalf("the dump of %q does not load: %v\n%s", src, err, dump.String())
		}
		again.Warnings, again.source = c.Warnings, c.source
		if !reflect.DeepEqual(c, again) {
			t.Errorf("the dump of %q loads to something else:\n%s", src, dump.String())
		}
	})
}
