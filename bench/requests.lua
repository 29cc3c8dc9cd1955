-- Sends the requests of the file $BENCH_CALLS in turn, over and over: a line each, its fields separated by tabs:
-- method, path, token, body, entity tag. Nine # in a body become a number that no other request has.
local MARK = "#########"
local requests, at, number = {}, 0, tonumber(os.getenv("BENCH_FIRST"))

function init()
   for line in io.lines(os.getenv("BENCH_CALLS")) do
      local method, path, token, body, etag = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.-)$")
      local headers = { Authorization = "Bearer " .. token }
      if etag ~= "" then headers["If-None-Match"] = etag end
      if body ~= "" then headers["Content-Type"] = "application/json" end
      local text = wrk.format(method, path, headers, body ~= "" and body or nil)
      requests[#requests + 1] = text:find(MARK, 1, true) and parts(text) or text
   end
end

function parts(text)
   local found, begin = {}, 1
   for from, to in text:gmatch("()" .. MARK .. "()") do
      found[#found + 1], begin = text:sub(begin, from - 1), to
   end
   found[#found + 1] = text:sub(begin)
   return found
end

function request()
   at = at % #requests + 1
   local one = requests[at]
   if type(one) == "string" then return one end
   number = number + 1
   return table.concat(one, string.format("%09d", number))
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%.6f,"bytes":%d,"refused":%d,"broken":%d,"p50":%.3f,"p95":%.3f,"p99":%.3f}\n',
      summary.requests, summary.duration / 1e6, summary.bytes, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
