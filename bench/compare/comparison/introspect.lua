-- wrk asks about one token after the other. `wrk -s introspect.lua URL -- FILE [check]`, where the first line of the file
-- are the credentials and each further line is a token. With `check`, each answer is looked at, which costs wrk so much
-- that it is done in the warm-up; in the measured window the mean size of the answers stands for it.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local requests, position = {}, 0
  checked, wrong = 0, 0
  local authorization
  for line in io.lines(arguments[1]) do
    if not authorization then
      authorization = line
      wrk.headers["Authorization"] = line
      wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
    else
      -- Written once here: the window is for sending them.
      table.insert(requests, wrk.format("POST", nil, nil, "token=" .. line))
    end
  end
  request = function()
    position = position % #requests + 1
    return requests[position]
  end
  if arguments[2] == "check" then
    response = function(status, headers, body)
      checked = checked + 1
      if status ~= 200 or not body:find('"active"%s*:%s*true') then
        wrong = wrong + 1
      end
    end
  end
end

function done(summary, latency)
  local checked, wrong = 0, 0
  for _, thread in ipairs(threads) do
    checked = checked + thread:get("checked")
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"bytes":%d,"duration_us":%d,"checked":%d,"wrong":%d,'
      .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},'
      .. '"latency_us":{"p50":%d,"p99":%d,"p99.9":%d,"max":%d}}\n',
    summary.requests, summary.bytes, summary.duration, checked, wrong,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max
  ))
end
