# Sidekiq's worker, for peers.py: posts each job's text over connections that are kept, one a thread.
require 'net/http'
require 'sidekiq'
Sidekiq.logger.level = Logger::ERROR
Sidekiq.configure_server { |c| c.redis = { path: ENV.fetch('REDIS_SOCKET') } }

class Deliver
  include Sidekiq::Worker
  TO = URI(ENV.fetch('SINK_URL'))

  def perform(body)
    http = Thread.current[:to_sink] ||= Net::HTTP.new(TO.host, TO.port).tap do |h|
      h.keep_alive_timeout = 60
      h.start
    end
    answer = http.post(TO.path, body, 'Content-Type' => 'application/json', 'Idempotency-Key' => jid)
    raise "status #{answer.code}" unless answer.is_a?(Net::HTTPSuccess)
  end
end
