//go:build tools

package telegraf

import _ "github.com/influxdata/telegraf/cmd/telegraf"
