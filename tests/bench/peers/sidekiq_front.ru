# HTTP intake in front of Sidekiq, for peers.py: puma runs it. Each POST body becomes one job, its text as it came; what
# cannot be JSON is refused, as the others do.
require 'json'
require 'sidekiq'
Sidekiq.logger.level = Logger::ERROR
Sidekiq.configure_client { |c| c.redis = { path: ENV.fetch('REDIS_SOCKET'), size: 10 } }

run lambda { |env|
  body = env['rack.input'].read
  begin
    JSON.parse(body)
    Sidekiq::Client.push('class' => 'Deliver', 'args' => [body], 'retry' => 10)
    [200, { 'Content-Length' => '2' }, ['ok']]
  rescue JSON::ParserError
    [400, { 'Content-Length' => '0' }, []]
  end
}
