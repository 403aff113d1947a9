// Command coredns is CoreDNS with its stock plugins, built from the module proxy like everything else of the lab.
package main

import (
	"github.com/coredns/coredns/coremain"

	// The stock plugins register themselves.
	_ "github.com/coredns/coredns/core/plugin"
)

func main() {
	coremain.Run()
}
