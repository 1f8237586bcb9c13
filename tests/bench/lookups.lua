-- Asks the connector about people by chance; says at the end what came of it, as JSON.
local people, scope, token = os.getenv("PEOPLE"), os.getenv("SCOPE"), os.getenv("TOKEN")
local pause = tonumber(os.getenv("PAUSE"))

if pause > 0 then
    -- In milliseconds, after each answer; not the same each time, so that the connections do not march in step
    function delay()
        return math.random(pause, 3 * pause)
    end
end

function init()
    math.randomseed(os.time())
    wrk.headers["Authorization"] = "Bearer " .. token
end

function request()
    return wrk.format("GET", string.format("/v1/people/person-%07d%%40%s", math.random(0, people - 1), scope))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('{"done": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n', summary.requests,
        summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
