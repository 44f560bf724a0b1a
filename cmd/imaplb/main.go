// Command imaplb is a load balancer for IMAP: it takes the logins of clients,
// finds the server each user lives on, and relays. See "imaplb --help".
//
// Everything it does stands in the packages beside it; this one only joins
// them and holds no logic of mail.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}
